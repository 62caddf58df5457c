// What the xDS client takes of grpc-js, as a file of its own so that it is loaded with the first connection to a management server: a proxy
// without one starts faster, and smaller. (A package of CommonJS that is imported by name this way would have no named exports in a bundle.)

export { Client, connectivityState, credentials, Metadata } from '@grpc/grpc-js'
