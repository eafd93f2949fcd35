import type { ClientError, TextField } from "@selvedge/client"
import { openText } from "@selvedge/client/text"
import type * as Y from "yjs"

/** The text of a note that is looked at. */
export interface OpenBody {
  readonly text: Y.Text
  /** Writes what was typed and still waits. */
  flush(): void
  close(): void
}

/**
 * Opens a text for an editor. `onReplaced` is called when it began afresh, and the editor is to be bound again; `onChanged` when it
 * reads otherwise; `onRefused` when what was typed was taken back, as from somebody who may not write any more.
 */
export function openBody(
  field: TextField,
  onReplaced: () => void,
  onChanged: () => void,
  onRefused: (why: ClientError) => void,
): OpenBody {
  const opened = openText(field, {
    onRefused,
    onReplaced: () => {
      watch()
      onReplaced()
    },
  })
  let watched = opened.text
  const watch = () => {
    watched.unobserve(onChanged)
    watched = opened.text
    watched.observe(onChanged)
  }
  watched.observe(onChanged)
  return {
    get text() {
      return opened.text
    },
    flush: () => opened.flush(),
    close: () => {
      watched.unobserve(onChanged)
      opened.close()
    },
  }
}
