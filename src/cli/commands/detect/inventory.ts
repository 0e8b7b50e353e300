import type { Systeminformation } from 'systeminformation';
import { counted } from '../../../lib/text.ts';

/** Rows for a person, beside what selection needs. */
export type HumanFacts = readonly { readonly label: string; readonly lines: readonly string[] }[];

const GIB = 2 ** 30;

/** Asks systeminformation, which runs programs (dmidecode, lsblk …), for what helps a person; gaps are left out. */
export async function askHumanFacts(): Promise<HumanFacts> {
  const asked = await import('systeminformation');
  const [machine, board, firmware, memory, disks, links] = await Promise.all([
    asked.system(),
    asked.baseboard(),
    asked.bios(),
    asked.memLayout(),
    asked.diskLayout(),
    asked.networkInterfaces(),
  ]);
  const rows: HumanFacts = [
    { label: 'machine', lines: [told(machine.manufacturer, machine.model, machine.version)] },
    { label: 'board', lines: [told(board.manufacturer, board.model, board.version)] },
    { label: 'firmware', lines: [told(firmware.vendor, firmware.version, firmware.releaseDate)] },
    { label: 'modules', lines: counted(memory.map(memoryModule).filter(isSaid)) },
    { label: 'disks', lines: counted(disks.map(disk).filter(isSaid)) },
    { label: 'network', lines: (Array.isArray(links) ? links : [links]).map(link) },
  ];
  return rows.map(({ label, lines }) => ({ label, lines: lines.filter(isSaid) }));
}

const isSaid = (line: string) => line !== '';

function memoryModule({ size, type, clockSpeed }: Systeminformation.MemLayoutData): string {
  return size > 0 ? told(inGib(size), type, clockSpeed ? `${clockSpeed} MT/s` : '') : '';
}

function disk({ name, type, size }: Systeminformation.DiskLayoutData): string {
  return told(name, type, size > 0 ? inGib(size) : '');
}

function link({ iface, internal, speed, operstate }: Systeminformation.NetworkInterfacesData): string {
  if (internal) return '';
  return told(iface, speed !== null && speed > 0 ? `${speed} Mbit/s` : '', operstate);
}

function inGib(bytes: number): string {
  return `${Math.round(bytes / GIB)} GiB`;
}

/** What is told of a thing; firmware says these when its maker filled nothing in. */
function told(...parts: readonly (string | null | undefined)[]): string {
  const empty = /^$|^-$|^n\/a$|^unknown$|^not specified$|^to be filled|^default string$/i;
  return parts
    .map((part) => (part ?? '').trim())
    .filter((part) => !empty.test(part))
    .join(' ');
}
