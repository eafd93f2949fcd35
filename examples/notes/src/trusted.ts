interface Factory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string }
}

/** The scripts that this page may start beside itself. */
const SCRIPTS = new Set(["sw.js", "search-worker.js"])

const factory = (globalThis as { trustedTypes?: Factory }).trustedTypes
const policy = factory?.createPolicy("notes", {
  createScriptURL: url => {
    if (!SCRIPTS.has(url)) throw new TypeError(`${url} is no script of ours`)
    return url
  },
})

/** A script of ours, as a page wants it that lets nothing else be one. */
export function trustedScript(name: string): string {
  return policy?.createScriptURL(name) ?? name
}
