// The console's icons: strokes on a grid of 20, in the colour of the text. With a label they speak for themselves; without one the text
// beside them does.
import type { JSX } from 'preact'

const PATHS = {
  services: 'M3 5h6v4H3zM11 5h6v4h-6zM3 11h6v4H3zM11 11h6v4h-6z',
  topology: 'M4 10h4M12 6l-4 4 4 4M12 4h4v4h-4zM12 12h4v4h-4zM2 8h4v4H2z',
  intentions: 'M10 2l6 2.500v5c0 4-2.600 6.800-6 8.500-3.400-1.700-6-4.500-6-8.500v-5zM7.500 10l2 2 3.500-4',
  why: 'M10 18a8 8 0 100-16 8 8 0 000 16zM7.800 7.800a2.200 2.200 0 114 1.200c-.9.900-1.800 1.200-1.800 2.500M10 14.300v.1',
  rollouts: 'M3 16h4v-4h4V8h4V4h2M3 8V3h5',
  proxies: 'M2 10h5M13 10h5M7 6h6v8H7zM4.500 7.500L2 10l2.500 2.500M15.500 7.500L18 10l-2.500 2.500',
  nodes: 'M3 3h14v5H3zM3 12h14v5H3zM6 5.500h.1M6 14.500h.1',
  certificates: 'M4 3h12v9H4zM7 6h6M7 9h3M12 12v5l2-1.300L16 17v-5',
  config: 'M3 5h8M15 5h2M13 3v4M3 10h2M9 10h8M7 8v4M3 15h8M15 15h2M13 13v4',
  kv: 'M7 11a4 4 0 100-1M11 10.500h7M15 10.500v3M18 10.500v2',
  access: 'M5 9h10v8H5zM7 9V6a3 3 0 016 0v3M10 12v2',
  events: 'M10 5v5l3 2M10 18a8 8 0 100-16 8 8 0 000 16z',
  menu: 'M3 5h14M3 10h14M3 15h14',
  sun: 'M10 13.500a3.500 3.500 0 100-7 3.500 3.500 0 000 7zM10 1.500v2M10 16.500v2M1.500 10h2M16.500 10h2M4 4l1.400 1.400M14.600 14.600L16 16M16 4l-1.400 1.400M5.400 14.600L4 16',
  moon: 'M16.500 11.500A7 7 0 118.500 3.500a5.500 5.500 0 008 8z',
  close: 'M5 5l10 10M15 5L5 15',
  check: 'M4 10.500l4 4 8-9',
  cross: 'M5.500 5.500l9 9M14.500 5.500l-9 9',
  warning: 'M10 3l8 14H2zM10 8v4M10 14.300v.1',
  lock: 'M5 9h10v8H5zM7 9V6a3 3 0 016 0v3',
  plus: 'M10 4v12M4 10h12',
  search: 'M9 15A6 6 0 109 3a6 6 0 000 12zM13.500 13.500L18 18',
  request: 'M4 4h12v12H4zM7 10h6M10 7v6',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, label }: { readonly name: IconName; readonly label?: string }): JSX.Element {
  return (
    <svg
      class="icon"
      viewBox="0 0 20 20"
      role={label === undefined ? undefined : 'img'}
      aria-label={label}
      aria-hidden={label === undefined}
    >
      <path d={PATHS[name]} />
    </svg>
  )
}
