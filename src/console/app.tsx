// The frame of the console: navigation, the page that the address names, theme, and the token. Every page is drawn inside it.
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ServerInfo } from './api/answers.js'
import { useLive } from './api/live.js'
import { currentToken, onTokenChange, setToken } from './api/session.js'
import { to, usePlace } from './navigation.js'
import { Access } from './pages/access.js'
import { CertificatesPage } from './pages/certificates.js'
import { ConfigPage } from './pages/config.js'
import { Diagnose } from './pages/diagnose.js'
import { Events } from './pages/events.js'
import { Intentions } from './pages/intentions.js'
import { KeyValue } from './pages/key-value.js'
import { Nodes } from './pages/nodes.js'
import type { PageProps } from './pages/page-props.js'
import { Proxies } from './pages/proxies.js'
import { Rollouts } from './pages/rollouts.js'
import { ServicePage } from './pages/service.js'
import { Services } from './pages/services.js'
import { TopologyPage } from './pages/topology.js'
import { Icon, type IconName } from './parts/icon.js'
import { Login } from './parts/login.js'
import { currentTheme, setTheme } from './theme.js'

/** What it says changes with a restart alone, and whether it answers is worth knowing. */
const SERVER_POLL_MS = 10_000

interface PageEntry {
  readonly page: string
  readonly title: string
  readonly icon: IconName
  readonly group: string
  draw(props: PageProps): JSX.Element
}

const PAGES: readonly PageEntry[] = [
  {
    page: 'services',
    title: 'Services',
    icon: 'services',
    group: 'Mesh',
    draw: ({ rest: [name], ...props }) => (name === undefined ? <Services /> : <ServicePage key={name} name={name} {...props} />),
  },
  { page: 'topology', title: 'Topology', icon: 'topology', group: 'Mesh', draw: () => <TopologyPage /> },
  { page: 'intentions', title: 'Intentions', icon: 'intentions', group: 'Mesh', draw: props => <Intentions {...props} /> },
  { page: 'diagnose', title: 'Why 403 or 503?', icon: 'why', group: 'Mesh', draw: props => <Diagnose {...props} /> },
  { page: 'rollouts', title: 'Rollouts', icon: 'rollouts', group: 'Mesh', draw: () => <Rollouts /> },
  { page: 'proxies', title: 'Proxies', icon: 'proxies', group: 'Machinery', draw: () => <Proxies /> },
  { page: 'nodes', title: 'Nodes', icon: 'nodes', group: 'Machinery', draw: ({ rest: [name] }) => <Nodes selected={name} /> },
  { page: 'certificates', title: 'Certificates', icon: 'certificates', group: 'Machinery', draw: () => <CertificatesPage /> },
  { page: 'config', title: 'Configuration', icon: 'config', group: 'Settings', draw: props => <ConfigPage {...props} /> },
  { page: 'kv', title: 'Key/Value', icon: 'kv', group: 'Settings', draw: ({ rest }) => <KeyValue steps={rest} /> },
  { page: 'access', title: 'Access', icon: 'access', group: 'Settings', draw: props => <Access {...props} /> },
  { page: 'events', title: 'Events', icon: 'events', group: 'Settings', draw: () => <Events /> },
]
const GROUPS = [...new Set(PAGES.map(({ group }) => group))]

export function App(): JSX.Element {
  const place = usePlace()
  const { data, errors, refresh } = useLive<{ server: ServerInfo }>({ server: '/v1/outrigger/console' }, { everyMs: SERVER_POLL_MS })
  const [isMenuOpen, setMenuOpen] = useState(false)
  const [isLoginOpen, setLoginOpen] = useState(false)
  const main = useRef<HTMLElement>(null)
  const entry = PAGES.find(({ page }) => page === place.page)
  const address = [place.page, ...place.rest].join('/')
  const isFirst = useRef(true)
  useEffect(() => {
    document.title = `${[...place.rest.slice(0, 1), entry?.title ?? 'Not found'].join(' · ')} – Outrigger`
    setMenuOpen(false)
    // A reader of the screen hears where it is; at the start the browser says so itself.
    if (!isFirst.current) main.current?.focus()
    isFirst.current = false
  }, [address])
  useEffect(() => {
    const open = (): void => setLoginOpen(true)
    window.addEventListener('outrigger-login', open)
    return () => window.removeEventListener('outrigger-login', open)
  }, [])
  // The server knows neither this token nor none: nothing else can be shown.
  const isLocked = errors.server?.status === 403 || errors.server?.status === 401
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <header class="topbar">
        <button
          type="button"
          class="icon-button menu-button"
          aria-expanded={isMenuOpen}
          aria-controls="navigation"
          onClick={() => setMenuOpen(!isMenuOpen)}
        >
          <Icon name="menu" label="Menu" />
        </button>
        <a class="brand" href={to()}>
          <img src="/ui/favicon.svg" alt="" width="26" height="26" />
          Outrigger
        </a>
        <span class="where">{data.server === undefined ? '' : data.server.Datacenter}</span>
        <span class="spacer" />
        <TokenButton server={data.server} open={() => setLoginOpen(true)} />
        <ThemeButton />
      </header>
      <nav id="navigation" class={isMenuOpen ? 'navigation open' : 'navigation'} aria-label="Console">
        {GROUPS.map(group => (
          <div key={group} class="nav-group">
            <h2 id={`nav-${group}`}>{group}</h2>
            <ul aria-labelledby={`nav-${group}`}>
              {PAGES.filter(page => page.group === group).map(({ page, title, icon }) => (
                <li key={page}>
                  <a href={to(page)} aria-current={page === place.page ? 'page' : undefined}>
                    <Icon name={icon} />
                    {title}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        ))}
        <p class="version">{data.server === undefined ? '' : `Version ${data.server.Version} on ${data.server.NodeName}`}</p>
      </nav>
      <main id="main" ref={main} tabIndex={-1}>
        {errors.server !== undefined && !isLocked && (
          <p class="notice danger" role="alert">
            {errors.server.message}. What stands here is the last that was heard.
          </p>
        )}
        {isLocked ? (
          <Login reason={currentToken() === '' ? 'This mesh asks for a token.' : errors.server!.message} done={refresh} />
        ) : (
          <Page entry={entry} props={{ rest: place.rest, query: place.query, server: data.server }} />
        )}
      </main>
      {isLoginOpen && !isLocked && <LoginDialog close={() => setLoginOpen(false)} done={refresh} />}
    </div>
  )
}

function Page({ entry, props }: { readonly entry: PageEntry | undefined; readonly props: PageProps }): JSX.Element {
  if (entry !== undefined) return entry.draw(props)
  return (
    <section class="empty">
      <h1>There is no such page</h1>
      <p>
        <a href={to('services')}>All services</a>
      </p>
    </section>
  )
}

function TokenButton({ server, open }: { readonly server: ServerInfo | undefined; open(): void }): JSX.Element | null {
  const [token, setShown] = useState(currentToken)
  useEffect(() => onTokenChange(() => setShown(currentToken())), [])
  if (server?.ACLsEnabled !== true && token === '') return null
  return token === '' ? (
    <button type="button" class="button small" onClick={open}>
      <Icon name="access" /> Sign in
    </button>
  ) : (
    <button type="button" class="button small" onClick={() => setToken('')}>
      <Icon name="access" /> Sign out
    </button>
  )
}

function ThemeButton(): JSX.Element {
  const [theme, setShown] = useState(currentTheme)
  const other = theme === 'dark' ? 'light' : 'dark'
  return (
    <button
      type="button"
      class="icon-button"
      onClick={() => {
        setTheme(other)
        setShown(other)
      }}
    >
      <Icon name={theme === 'dark' ? 'sun' : 'moon'} label={`Switch to ${other} colours`} />
    </button>
  )
}

function LoginDialog({ close, done }: { close(): void; done(): void }): JSX.Element {
  return (
    <Modal title="Sign in" close={close}>
      <Login
        reason="The token stays in this tab and ends with it."
        done={() => {
          close()
          done()
        }}
      />
    </Modal>
  )
}

function Modal({ title, close, children }: { readonly title: string; close(): void; readonly children: ComponentChildren }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} class="modal" aria-label={title} onClose={close}>
      {children}
      <button type="button" class="icon-button modal-close" onClick={close}>
        <Icon name="close" label="Close" />
      </button>
    </dialog>
  )
}
