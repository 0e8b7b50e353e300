import type { Systeminformation } from 'systeminformation';
import { counted, gibText } from '../../../lib/text.ts';

/** Rows for people. Selection does not need them. */
export type InventoryRows = readonly { readonly label: string; readonly lines: readonly string[] }[];

/** Reads the inventory with systeminformation, which runs programs (dmidecode, lsblk …). Omits gaps. */
export async function readInventory(): Promise<InventoryRows> {
  const system = await import('systeminformation');
  const [machine, board, firmware, memory, disks, links] = await Promise.all([
    system.system(),
    system.baseboard(),
    system.bios(),
    system.memLayout(),
    system.diskLayout(),
    system.networkInterfaces(),
  ]);
  const rows: InventoryRows = [
    { label: 'machine', lines: [present(machine.manufacturer, machine.model, machine.version)] },
    { label: 'board', lines: [present(board.manufacturer, board.model, board.version)] },
    { label: 'firmware', lines: [present(firmware.vendor, firmware.version, firmware.releaseDate)] },
    { label: 'modules', lines: counted(memory.map(memoryModule).filter(isSaid)) },
    { label: 'disks', lines: counted(disks.map(disk).filter(isSaid)) },
    { label: 'network', lines: (Array.isArray(links) ? links : [links]).map(link) },
  ];
  return rows.map(({ label, lines }) => ({ label, lines: lines.filter(isSaid) }));
}

const isSaid = (line: string) => line !== '';

function memoryModule({ size, type, clockSpeed }: Systeminformation.MemLayoutData): string {
  return size > 0 ? present(gibText(size), type, clockSpeed ? `${clockSpeed} MT/s` : '') : '';
}

function disk({ name, type, size }: Systeminformation.DiskLayoutData): string {
  return present(name, type, size > 0 ? gibText(size) : '');
}

function link({ iface, internal, speed, operstate }: Systeminformation.NetworkInterfacesData): string {
  if (internal) return '';
  return present(iface, speed !== null && speed > 0 ? `${speed} Mbit/s` : '', operstate);
}

/** Joins the parts that have content. Firmware has placeholders where the vendor entered nothing. */
function present(...parts: readonly (string | null | undefined)[]): string {
  const empty = /^$|^-$|^n\/a$|^unknown$|^not specified$|^to be filled|^default string$/i;
  return parts
    .map((part) => (part ?? '').trim())
    .filter((part) => !empty.test(part))
    .join(' ');
}
