// Objects as JSON has them: what Vault answers, and what configurations of it are. Used by the readers of both.

export type JsonObject = Readonly<Record<string, unknown>>

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
