// Outcomes of verifying a JWT: the names, numbers and texts that Envoy's clients see (401 bodies, response details, and
// failed_status_in_metadata). Used by all jwt-*.ts.

const TEXTS = {
  ok: 'OK',
  missed: 'Jwt is missing',
  notYetValid: 'Jwt not yet valid',
  expired: 'Jwt is expired',
  badFormat: 'Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections',
  headerBadBase64: 'Jwt header is an invalid Base64url encoded',
  headerBadJson: 'Jwt header is an invalid JSON',
  headerBadAlg: 'Jwt header [alg] field is required and must be a string',
  headerAlgNotImplemented: 'Jwt header [alg] is not supported',
  headerBadKid: 'Jwt header [kid] field is not a string',
  payloadBadBase64: 'Jwt payload is an invalid Base64url encoded',
  ed25519SignatureLength: 'Jwt ED25519 signature is wrong length',
  payloadBadJson: 'Jwt payload is an invalid JSON',
  issNotString: 'Jwt payload [iss] field is not a string',
  subNotString: 'Jwt payload [sub] field is not a string',
  iatNotInteger: 'Jwt payload [iat] field is not an integer',
  iatOutOfRange: 'Jwt payload [iat] field is not a 64 bit positive integer',
  nbfNotInteger: 'Jwt payload [nbf] field is not an integer',
  nbfOutOfRange: 'Jwt payload [nbf] field is not a 64 bit positive integer',
  expNotInteger: 'Jwt payload [exp] field is not an integer',
  expOutOfRange: 'Jwt payload [exp] field is not a 64 bit positive integer',
  jtiNotString: 'Jwt payload [jti] field is not a string',
  audNotString: 'Jwt payload [aud] field is not a string or string list',
  signatureBadBase64: 'Jwt signature is an invalid Base64url encoded',
  unknownIssuer: 'Jwt issuer is not configured',
  audienceNotAllowed: 'Audiences in Jwt are not allowed',
  verificationFail: 'Jwt verification fails',
  multipleTokens: 'Found multiple Jwt tokens',
  jwksParseError: 'Jwks is an invalid JSON',
  jwksNoKeys: 'Jwks does not have [keys] field',
  jwksBadKeys: '[keys] in Jwks is not an array',
  jwksNoValidKeys: "Jwks doesn't have any valid public key",
  jwksKidAlgMismatch: "Jwks doesn't have key to match kid or alg from Jwt",
  jwksFetch: 'Jwks remote fetch is failed',
} as const

export type JwtStatus = keyof typeof TEXTS

const NUMBERS = new Map(Object.keys(TEXTS).map((name, i) => [name as JwtStatus, i]))

export function jwtStatusText(status: JwtStatus): string {
  return TEXTS[status]
}

export function jwtStatusNumber(status: JwtStatus): number {
  return NUMBERS.get(status)!
}
