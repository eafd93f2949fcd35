/** A file, or what a browser names a file or a folder by. */
export type Dropped = File | FileSystemEntry

/** Whether files are dragged, and not notes or words. */
export function hasFiles({ dataTransfer }: DragEvent): boolean {
  return dataTransfer?.types.includes("Files") ?? false
}

/** What was dropped; it can be asked for only while the event is handled. */
export function droppedBy({ dataTransfer }: DragEvent): Dropped[] {
  const items = [...(dataTransfer?.items ?? [])].filter(({ kind }) => kind === "file")
  return items.map(item => item.webkitGetAsEntry() ?? item.getAsFile()).filter(dropped => dropped !== null)
}
