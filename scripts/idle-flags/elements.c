/* Loops over arrays of every element type. */
#include <stddef.h>
#include <stdint.h>

#define KERNEL(type, name)                                                                            \
  void add_##name(type *restrict a, const type *b, const type *c, size_t n) {                         \
    for (size_t i = 0; i < n; i++) a[i] = b[i] + c[i];                                                \
  }                                                                                                   \
  void mul_##name(type *restrict a, const type *b, const type *c, size_t n) {                         \
    for (size_t i = 0; i < n; i++) a[i] = b[i] * c[i];                                                \
  }                                                                                                   \
  void muladd_##name(type *restrict a, const type *b, const type *c, size_t n) {                      \
    for (size_t i = 0; i < n; i++) a[i] += b[i] * c[i];                                               \
  }                                                                                                   \
  type dot_##name(const type *a, const type *b, size_t n) {                                           \
    type sum = 0;                                                                                     \
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];                                                \
    return sum;                                                                                       \
  }                                                                                                   \
  type greatest_##name(const type *a, size_t n) {                                                     \
    type best = a[0];                                                                                 \
    for (size_t i = 1; i < n; i++) best = a[i] > best ? a[i] : best;                                  \
    return best;                                                                                      \
  }                                                                                                   \
  void clamp_##name(type *a, type low, type high, size_t n) {                                         \
    for (size_t i = 0; i < n; i++) a[i] = a[i] < low ? low : a[i] > high ? high : a[i];               \
  }                                                                                                   \
  size_t count_##name(const type *a, type limit, size_t n) {                                          \
    size_t found = 0;                                                                                 \
    for (size_t i = 0; i < n; i++) found += a[i] < limit;                                             \
    return found;                                                                                     \
  }                                                                                                   \
  void gather_##name(type *restrict a, const type *b, const uint32_t *at, size_t n) {                 \
    for (size_t i = 0; i < n; i++) a[i] = b[at[i]];                                                   \
  }                                                                                                   \
  void scatter_##name(type *restrict a, const type *b, const uint32_t *at, size_t n) {                \
    for (size_t i = 0; i < n; i++) a[at[i]] += b[i];                                                  \
  }                                                                                                   \
  size_t compress_##name(type *restrict a, const type *b, type limit, size_t n) {                     \
    size_t kept = 0;                                                                                  \
    for (size_t i = 0; i < n; i++)                                                                    \
      if (b[i] > limit) a[kept++] = b[i];                                                             \
    return kept;                                                                                      \
  }                                                                                                   \
  void reverse_##name(type *a, size_t n) {                                                            \
    for (size_t i = 0; i < n / 2; i++) {                                                              \
      type one = a[i];                                                                                \
      a[i] = a[n - 1 - i];                                                                            \
      a[n - 1 - i] = one;                                                                             \
    }                                                                                                 \
  }                                                                                                   \
  void fill_##name(type *a, type value, size_t n) {                                                   \
    for (size_t i = 0; i < n; i++) a[i] = value;                                                      \
  }                                                                                                   \
  void stencil_##name(type *restrict a, const type *b, size_t n) {                                    \
    for (size_t i = 1; i + 1 < n; i++) a[i] = b[i - 1] + b[i] + b[i + 1];                             \
  }                                                                                                   \
  void every_third_##name(type *restrict a, const type *b, size_t n) {                                \
    for (size_t i = 0; i < n; i++) a[i] = b[3 * i] + b[3 * i + 2];                                    \
  }

KERNEL(uint8_t, u8)
KERNEL(int16_t, i16)
KERNEL(int32_t, i32)
KERNEL(float, f32)
KERNEL(double, f64)
#ifdef __FLT16_MAX__
KERNEL(_Float16, f16)
#endif
