/** A note that a vault begins with. */
export interface FirstNote {
  readonly title: string
  readonly body: string
  readonly isPinned: boolean
}

/** A few notes that show what can be done. */
export function firstNotes(): readonly FirstNote[] {
  return [
    { title: "Welcome", body: WELCOME, isPinned: true },
    { title: "Linking notes", body: LINKS, isPinned: false },
    { title: "Writing Markdown", body: MARKDOWN, isPinned: false },
  ]
}

const WELCOME = `These notes are on your device first. They work on a plane, open at once, and come together with those of your other devices, and of people you share them with, whenever there is a network.

- [x] Open the app
- [ ] Press \`?\` to see every key
- [ ] Link a note: [[Linking notes]]
- [ ] Write a tag, like #welcome
- [ ] Share the vault with somebody, from the menu with its name

> [!tip] Everything at once
> Control+K (or Command+K) finds any note and does anything.
`

const LINKS = `Two brackets link a note: [[Welcome]]. What is not there yet is written when you follow the link, as [[A note of your own]].

What links here is shown beside the note, and all links together are the graph. When a note gets another title, the links to it follow.

#welcome
`

const MARKDOWN = `Text is Markdown: plain when you write, formatted when you read. Control+E switches.

## What there is

**Strong**, *emphasised*, ~~struck~~, ==marked== and \`code\`.

1. Lists go on by themselves
2. Enter twice ends them

| Keys | What they do |
|---|---|
| Control+B | strong |
| Control+Enter | tick a task |
| Alt+↑ | move a line up |

\`\`\`
Code stands as it is.
\`\`\`

#welcome
`
