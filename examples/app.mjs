// An application to put into a mesh: answers every request with its name. `node examples/app.mjs NAME PORT`.
import { createServer } from 'node:http'

const [, , name = 'app', port = '9002'] = process.argv
createServer((request, response) => response.end(`${name}: ${request.method} ${request.url}\n`)).listen(Number(port), '127.0.0.1')
