// `scratch`: a place for values while a template is executed, which loops and templates by name share. Part of every template's functions.
// Invariant: it lives as long as one execution.
import { type GoFunction, GoMap, GoStruct, type GoValue, TemplateError } from './go-value.js'

export function newScratch(): GoStruct {
  const values = new Map<string, GoValue>()
  const set = (key: string, value: GoValue): string => {
    values.set(key, value)
    return ''
  }
  const mapOf = (key: string): GoMap => {
    const found = values.get(key)
    if (found instanceof GoMap) return found
    if (found !== undefined) throw new TemplateError(`${JSON.stringify(key)} is no map`)
    const map = new GoMap()
    values.set(key, map)
    return map
  }
  const mapSet = (key: string, name: string, value: GoValue, again: boolean): string => {
    const { entries } = mapOf(key)
    if (again || !entries.has(name)) entries.set(name, value)
    return ''
  }
  const methods: Record<string, GoFunction> = {
    Key: { params: ['string'], call: ([key]) => values.has(key as string) },
    Get: { params: ['string'], call: ([key]) => values.get(key as string) },
    Set: { params: ['string', 'any'], call: ([key, value]) => set(key as string, value) },
    SetX: { params: ['string', 'any'], call: ([key, value]) => (values.has(key as string) ? '' : set(key as string, value)) },
    MapSet: { params: ['string', 'string', 'any'], call: ([key, name, value]) => mapSet(key as string, name as string, value, true) },
    MapSetX: { params: ['string', 'string', 'any'], call: ([key, name, value]) => mapSet(key as string, name as string, value, false) },
    MapValues: {
      params: ['string'],
      call: ([key]) => {
        if (!values.has(key as string)) throw new TemplateError(`${JSON.stringify(key)} is not set`)
        return mapOf(key as string)
          .sorted()
          .map(([, value]) => value)
      },
    },
  }
  return new GoStruct('template.Scratch', new Map(), new Map(Object.entries(methods)))
}
