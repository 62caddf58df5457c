// Properties of the HTTP/1.1 codecs: how the bytes are cut changes nothing, what is written reads back as what was meant, and bytes
// of any kind neither throw nor hang nor pile up. Seeded.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeaderList } from '../../../../src/l7/codec/header-list.js'
import { fuzzOnce } from '../../../fuzz/http1-fuzz.js'
import { ATTACKS } from '../../../support/http1-corpus.js'
import { clientEnd, headerLines, request, response, serverEnd } from '../../../support/http1-pair.js'

const SEED = 20260115
const fields = fc.array(
  fc.tuple(
    fc.stringMatching(/^[!#$%&'*+.^`|~0-9A-Za-z-]{1,12}$/).map(name => `x-${name}`),
    fc.stringMatching(/^(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/),
  ),
  { maxLength: 8 },
)
const bodies = fc.array(fc.string({ unit: 'binary', maxLength: 300 }).map(latin1), { maxLength: 5 })

function latin1(text: string): string {
  return Buffer.from(text, 'utf16le').toString('latin1')
}

/** The events of a server that answers each request once it has come to its end, fed with `bytes` cut at `cuts`. */
async function serverEvents(bytes: string, cuts: readonly number[]): Promise<string[]> {
  const end = serverEnd()
  let answered = 0
  const answer = async (): Promise<void> => {
    while (answered < end.streams.length && /^(?:end|trailers|request .* end )/.test(end.lastEvent)) {
      answered++
      end.stream.sendHead(response(204), true)
      // The next of a pipeline is begun one tick later.
      await new Promise(resolve => process.nextTick(resolve))
    }
  }
  let from = 0
  for (const cut of [...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    end.feed(bytes.slice(from, cut))
    from = cut
    await answer()
  }
  return end.events.filter(line => !line.startsWith('head-pending') && line !== 'idle')
}

function clientEvents(bytes: string, cuts: readonly number[]): readonly string[] {
  const end = clientEnd()
  end.get()
  let from = 0
  for (const cut of [...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    end.feed(bytes.slice(from, cut))
    from = cut
  }
  end.codec.onTransportEnd()
  return end.events
}

const cuts = fc.array(fc.nat({ max: 10_000 }), { maxLength: 12 })

describe('cutting the bytes', () => {
  it('at any places gives the same events for the attack corpus', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...ATTACKS), cuts, async ({ bytes }, places) => {
        expect(await serverEvents(bytes, places)).toEqual(await serverEvents(bytes, []))
      }),
      { seed: SEED, numRuns: 600 },
    )
  })
  it('at every single place gives the same events for a pipeline of each kind of message', async () => {
    const bytes =
      'POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x="y"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n' +
      '\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nPUT /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nworld' +
      'POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHEAD /5 HTTP/1.1\r\nHost: a\r\n\r\n'
    const whole = await serverEvents(bytes, [])
    expect(whole.filter(line => line.startsWith('request'))).toHaveLength(5)
    for (let i = 0; i <= bytes.length; i++) expect(await serverEvents(bytes, [i])).toEqual(whole)
    const all = Array.from({ length: bytes.length }, (_, i) => i)
    expect(await serverEvents(bytes, all)).toEqual(whole)
  })
  it('at every single place gives the same events for responses', () => {
    for (const bytes of [
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA : b\r\n c\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\nX: y\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      'HTTP/1.1 200 OK\r\n\r\nhello',
      'HTTP/1.1 204 No Content\r\n\r\n',
    ]) {
      const whole = clientEvents(bytes, [])
      for (let i = 0; i <= bytes.length; i++) expect(clientEvents(bytes, [i])).toEqual(whole)
      expect(
        clientEvents(
          bytes,
          Array.from({ length: bytes.length }, (_, i) => i),
        ),
      ).toEqual(whole)
    }
  })
})

describe('what is written reads back', () => {
  const paths = fc.stringMatching(/^\/[!-~]{0,20}$/)
  const methods = fc.stringMatching(/^[A-Z]{1,8}$/).filter(method => method !== 'CONNECT')

  it('requests: client codec to server codec', async () => {
    await fc.assert(
      fc.asyncProperty(
        methods,
        paths,
        fields,
        bodies,
        fc.constantFrom('none', 'length', 'chunks', 'trailers'),
        cuts,
        async (method, path, pairs, chunks, framing, places) => {
          const body = chunks.join('')
          const headers = HeaderList.of(...pairs)
          if (framing === 'length') headers.append('Content-Length', String(body.length))
          const expected = headerLines(headers)
          const client = clientEnd()
          const stream = client.open()
          stream.sendHead(
            request({ method, path, authority: 'svc.local:8080', headers, contentLength: framing === 'length' ? body.length : -1 }),
            framing === 'none',
          )
          if (framing !== 'none') {
            for (const chunk of chunks) stream.sendData(Buffer.from(chunk, 'latin1'), false)
            if (framing === 'trailers') stream.sendTrailers(HeaderList.of(['X-Sum', '1']))
            else stream.sendData(Buffer.alloc(0), true)
          }
          client.codec.flush()
          const [head, ...rest] = await serverEvents(client.transport.take(), places)
          expect(head).toContain(`request ${method} |svc.local:8080|${path} HTTP/1.1 `)
          const own =
            framing === 'none' && !/^(?:GET|HEAD|DELETE|TRACE)$/.test(method)
              ? [expected, 'content-length=0'].filter(Boolean).join('|')
              : expected
          expect(head!.endsWith(` ${own}`)).toBe(true)
          const data = body === '' || framing === 'none' ? [] : [`data ${body}`]
          if (framing === 'trailers') expect(rest).toEqual([...data, 'trailers X-Sum=1'])
          else expect(rest).toEqual(framing === 'none' || (framing === 'length' && body === '') ? [] : [...data, 'end'])
        },
      ),
      { seed: SEED, numRuns: 200 },
    )
  })
  it('responses: server codec to client codec', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }),
        fields,
        bodies,
        fc.constantFrom('none', 'length', 'chunks', 'trailers'),
        cuts,
        (status, pairs, chunks, framing, places) => {
          fc.pre(![204, 304, 426].includes(status))
          const body = chunks.join('')
          const headers: (readonly [string, string])[] = [...pairs]
          if (framing === 'length') headers.push(['Content-Length', String(body.length)])
          const server = serverEnd()
          server.feed('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
          const { stream } = server
          stream.sendHead(response(status, headers), framing === 'none')
          if (framing !== 'none') {
            for (const chunk of chunks) stream.sendData(Buffer.from(chunk, 'latin1'), false)
            if (framing === 'trailers') stream.sendTrailers(HeaderList.of(['X-Sum', '1']))
            else stream.sendData(Buffer.alloc(0), true)
          }
          server.codec.flush()
          const [head, ...rest] = clientEvents(server.transport.take(), places)
          expect(head).toContain(`head ${status} `)
          const sent = headerLines(HeaderList.of(...headers))
          expect(head!.endsWith(` ${framing === 'none' ? [sent, 'content-length=0'].filter(Boolean).join('|') : sent}`)).toBe(true)
          const data = body === '' || framing === 'none' ? [] : [`data ${body}`]
          const last =
            framing === 'trailers' ? ['trailers X-Sum=1'] : framing === 'none' || (framing === 'length' && body === '') ? [] : ['end']
          // The FIN that the helper sends at last finds the connection idle.
          expect(rest).toEqual([...data, ...last, 'free', 'draining'])
        },
      ),
      { seed: SEED, numRuns: 200 },
    )
  })
})

describe('bytes of any kind', () => {
  it('do not break the rules of either codec', () => {
    let state = SEED
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
    for (let i = 0; i < 1500; i++) {
      const before = state
      try {
        fuzzOnce(random)
      } catch (error) {
        throw new Error(`fuzzOnce fails from state ${before}`, { cause: error })
      }
    }
  })
})
