// Light or dark: the system's choice until one is made here, which this browser then keeps.
const KEY = 'outrigger-theme'

export type Theme = 'light' | 'dark'

const DARK = '(prefers-color-scheme: dark)'

export function currentTheme(): Theme {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'light' || chosen === 'dark') return chosen
  return matchMedia(DARK).matches ? 'dark' : 'light'
}

export function applyTheme(): void {
  document.documentElement.dataset['theme'] = currentTheme()
  matchMedia(DARK).addEventListener('change', () => {
    document.documentElement.dataset['theme'] = currentTheme()
  })
}

export function setTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme)
  document.documentElement.dataset['theme'] = theme
}
