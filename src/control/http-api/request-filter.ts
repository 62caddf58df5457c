// `?filter=`: a filter expression over the answer's elements, in the shape in which the endpoint prints them. Used by every endpoint that
// has one in Consul. Compiled before anything is waited for, so that a bad expression is refused at once.
import type { FastifyRequest } from 'fastify'
import { compileFilter } from '../config-entries/filter-expression.js'
import { type FilterShape, selectorsOf } from '../config-entries/filter-selectors.js'
import { HttpError, query } from './respond.js'

/** Lets everything through where no filter was asked for. Throws Consul's 400. */
export function compileRequestFilter(request: FastifyRequest, shape: FilterShape): (element: object) => boolean {
  const expression = query(request, 'filter') ?? ''
  if (expression === '') return () => true
  const filter = compileFilter<object>(expression, selectorsOf(shape))
  if ('error' in filter) throw new HttpError(400, `Failed to create boolean expression evaluator: ${filter.error}`)
  return filter.predicate
}
