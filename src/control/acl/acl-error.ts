// What an ACL operation answers when it does not do what was asked: a status of the HTTP API and one line, in Consul's words where its
// clients and people's scripts know them. Thrown by acl-writes.ts, login.ts and the authorizer; http-api/ turns it into the answer.

export class AclError extends Error {
  constructor(
    readonly statusCode: 400 | 401 | 403 | 404 | 429 | 500,
    message: string,
  ) {
    super(message)
  }
}

export const notFound = (): AclError => new AclError(403, 'ACL not found')
export const disabled = (): AclError => new AclError(401, 'ACL support disabled')
