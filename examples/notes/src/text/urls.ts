import { isFileName, titleOfPath } from "../notes/names.js"

/** Where a link in a note leads. */
export type Target =
  | { readonly kind: "outside"; readonly url: string; readonly host: string }
  | { readonly kind: "note"; readonly title: string }
  | { readonly kind: "none" }

/** What a click may open. Everything else, `javascript:` first of all, is text. */
const SCHEMES = new Set(["http:", "https:", "mailto:", "tel:"])

/** What browsers skip when they look for a scheme, and people do not see. */
const INVISIBLE = /[\u0000-\u0020\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+/g

/** Pictures that are part of the note. SVG is not among them: it is a document. */
const PICTURE = /^data:image\/(png|jpeg|gif|webp|avif);base64,[a-z0-9+/=]+$/i

const NONE: Target = { kind: "none" }

/** Reads what stands in the brackets of a link. */
export function targetOf(href: string): Target {
  const bare = href.replace(INVISIBLE, "")
  if (/^[a-z][a-z0-9+.-]*:/i.test(bare)) return outside(bare)
  const path = decode(href.trim())
  return isFileName(path) ? { kind: "note", title: titleOfPath(path) } : NONE
}

/** A picture's address, if it can be shown without asking anybody for it. */
export function pictureOf(href: string): string | undefined {
  return PICTURE.test(href) ? href : undefined
}

function outside(bare: string): Target {
  try {
    const url = new URL(bare)
    return SCHEMES.has(url.protocol) ? { kind: "outside", url: url.href, host: url.host || url.pathname } : NONE
  } catch {
    return NONE
  }
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}
