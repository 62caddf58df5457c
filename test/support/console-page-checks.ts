// What is asked of a page of the console from inside of the browser: playwright sends these functions there as text, so each stands alone.
// biome-ignore-all lint/suspicious/noExplicitAny: the browser's own objects, whose types the rest of the tests must not see.
declare const document: any
declare const window: any
declare const localStorage: any
declare const NodeFilter: any
declare function getComputedStyle(element: any): any

export const backgroundColor = (): string => getComputedStyle(document.body).backgroundColor

/** How much wider than the screen the page is. */
export const overflowPx = (): number => document.documentElement.scrollWidth - window.innerWidth

/** Keys and cookies that outlive the tab. */
export const keptOutsideOfTheTab = (): string[] => [...Object.keys(localStorage), ...document.cookie.split(';')].filter(name => name !== '')

/** What can be pressed or filled in and has no name for who does not see it. */
export function namelessControls(): string[] {
  return [...document.querySelectorAll('a, button, input, select, textarea')]
    .filter(element => {
      const own = element.getAttribute('aria-label') ?? element.textContent ?? ''
      const isLabelled = (element.labels?.length ?? 0) > 0
      return own.trim() === '' && !isLabelled && element.querySelector('[aria-label]') === null
    })
    .map(element => element.outerHTML.slice(0, 200))
}

/** Texts of the page whose contrast with what is behind them is below 4.5 (WCAG 2, 1.4.3), or 3 where they are large. Runs in the browser. */
export function faintTexts(): string[] {
  const parse = (text: string): number[] => (text.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = ([r = 0, g = 0, b = 0]: readonly number[]): number => {
    const part = (value: number): number => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
  }
  const behind = (element: any): number[] => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
    return [255, 255, 255]
  }
  const found: string[] = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent?.trim() ?? ''
    const element = walker.currentNode.parentElement
    if (text === '' || element === null || element.closest('svg, option, datalist, .hidden, .skip, noscript, button:disabled') !== null)
      continue
    const style = getComputedStyle(element)
    if (style.visibility === 'hidden' || element.getClientRects().length === 0) continue
    const [a, b] = [luminance(parse(style.color)), luminance(behind(element))]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    const isLarge =
      Number.parseFloat(style.fontSize) >= 24 || (Number.parseFloat(style.fontSize) >= 18.6 && Number(style.fontWeight) >= 700)
    if (contrast < (isLarge ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)}`)
  }
  return [...new Set(found)]
}
