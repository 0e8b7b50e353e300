/** Every text whose contrast with its background is below WCAG's 4.5, or 3 for large text. */
export const LOW_CONTRAST = `(() => {
  const channels = (color) => {
    const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const backgroundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { textContent, parentElement } = walker.currentNode;
    if (textContent.trim() === '' || ['SCRIPT', 'STYLE', 'OPTION'].includes(parentElement.tagName)) continue;
    seen += 1;
    const style = getComputedStyle(parentElement);
    const [a, b] = [luminance(channels(style.color)), luminance(backgroundOf(parentElement))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24;
    if (contrast < (isLarge ? 3 : 4.5)) found.push(textContent.trim().slice(0, 40) + ' ' + contrast.toFixed(2));
  }
  return { seen, found };
})()`;

/** The elements that extend beyond the right edge of the window. */
export const OVERFLOW = `(() => ({
  page: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  elements: [...document.querySelectorAll('body *')]
    .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map((element) => element.tagName + ' ' + element.textContent.trim().slice(0, 40)),
}))()`;
