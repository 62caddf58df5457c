// Control planes in this very process. What they load with their first start is loaded here before, outside of any test's time.
import { afterEach, expect, it } from 'vitest'
import '../../src/control/control-plane.js'
import { ConfigRefusedError, ControlPlane, type ControlPlaneOptions } from '../../src/index.js'

const open: ControlPlane[] = []
afterEach(async () => {
  for (const control of open.splice(0)) await control.close()
})

async function start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const control = await ControlPlane.start(options)
  open.push(control)
  return control
}

const names = async (control: ControlPlane): Promise<string[]> =>
  Object.keys((await (await fetch(`http://${control.addresses.http}/v1/catalog/services`)).json()) as object).sort()

it('listens on free ports of loopback by itself, and on what it is told', async () => {
  const { addresses } = await start({ dns: '127.0.0.1:0' })
  expect(addresses).toEqual({
    http: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    https: null,
    grpc: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
    grpcTls: null,
    dns: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
  })
})

it('shares nothing with a second one', async () => {
  const [a, b] = [await start(), await start()]
  await a.apply({ services: [{ Name: 'web', Port: 80 }] })
  expect([await names(a), await names(b)]).toEqual([['consul', 'web'], ['consul']])
  await a.close()
  expect(await names(b)).toEqual(['consul'])
})

it('applies all or nothing, with every problem by its place, and keeps what it was not told of', async () => {
  const control = await start()
  await control.apply({ services: [{ Name: 'web', Port: 80 }] })
  const wrong = {
    services: [{ Name: 'db', Port: 5432 }, { Port: 'x' }],
    configEntries: [{ Kind: 'service-defaults', Name: 'db', Protocol: 'smtp' }],
  }
  const refused = (await control.apply(wrong).catch(error => error as unknown)) as ConfigRefusedError
  expect(refused).toBeInstanceOf(ConfigRefusedError)
  expect(refused.problems.map(({ path }) => path.replace(/\..*/, ''))).toEqual(expect.arrayContaining(['configEntries[0]', 'services[1]']))
  expect(await names(control)).toEqual(['consul', 'web'])
  await control.apply({ services: [{ Name: 'db', Port: 5432 }] })
  expect(await names(control)).toEqual(['consul', 'db', 'web'])
})

it('refuses in one line what it cannot serve, and leaves nothing running', async () => {
  const { addresses } = await start()
  await expect(ControlPlane.start({ http: addresses.http! })).rejects.toThrow(/already in use|EADDRINUSE/)
  await expect(ControlPlane.start({ dns: 'nowhere' })).rejects.toThrow("dns: 'nowhere' is no host:port")
  await expect(ControlPlane.start({ http: '0.0.0.0:0' })).rejects.toThrow(/token|TLS/)
})
