// Where a token is entered. It is tried at once: one that nobody knows is not kept.
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError, tryToken } from '../api/client.js'
import { setToken } from '../api/session.js'

export function Login({ reason, done }: { readonly reason: string; done(): void }): JSX.Element {
  const [token, setEntered] = useState('')
  const [problem, setProblem] = useState('')
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    try {
      await tryToken(token.trim())
      setToken(token.trim())
      done()
    } catch (error) {
      setProblem(error instanceof ApiError && error.status === 403 ? 'Nobody knows this token.' : (error as Error).message)
    }
  }
  return (
    <form class="login" onSubmit={event => void submit(event)}>
      <h2>Sign in with an ACL token</h2>
      <p class="muted">{reason}</p>
      <label class="field">
        Token
        <input
          type="password"
          name="token"
          autocomplete="off"
          spellcheck={false}
          required
          value={token}
          aria-invalid={problem !== ''}
          aria-describedby="login-problem"
          onInput={event => setEntered(event.currentTarget.value)}
        />
      </label>
      <p id="login-problem" class="danger-text" role="alert">
        {problem}
      </p>
      <button type="submit" class="button primary">
        Sign in
      </button>
    </form>
  )
}
