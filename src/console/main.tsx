// The web console's beginning: mounts the application and follows its links. Built by scripts/bundle-console.mjs, served below /ui/.
import './style.css'
import { render } from 'preact'
import { App } from './app.js'
import { followLinks } from './navigation.js'
import { applyTheme } from './theme.js'

applyTheme()
followLinks()
render(<App />, document.getElementById('app')!)
