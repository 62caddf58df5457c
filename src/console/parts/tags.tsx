// Short words in a cell: the first three, and how many more; all of them are in its title.
import type { JSX } from 'preact'

const SHOWN = 3

interface TagsProps {
  readonly tags: readonly string[]
  /** What stands for none. */
  readonly none?: string
}

export function Tags({ tags, none = '–' }: TagsProps): JSX.Element {
  if (tags.length === 0) return <span class="muted">{none}</span>
  return (
    <span class="tags" title={tags.join(', ')}>
      {tags.slice(0, SHOWN).map(tag => (
        <span key={tag} class="tag">
          {tag}
        </span>
      ))}
      {tags.length > SHOWN && <span class="muted">+{tags.length - SHOWN}</span>}
    </span>
  )
}
