import { ClientError, type ErrorKind } from "../error.js"

/** Something that a tab wants stored; numbered from 1 in each tab. */
export interface Post {
  readonly seq: number
  readonly body: unknown
}

/** What tabs say to who leads. */
export type ToLeader =
  | { readonly type: "post"; readonly term: string; readonly tab: string; readonly posts: readonly Post[] }
  | { readonly type: "ask"; readonly term: string; readonly tab: string; readonly id: number; readonly question: unknown }

/** What who leads says to one tab. */
export type ToTab =
  | { readonly type: "stored"; readonly term: string; readonly tab: string; readonly seq: number }
  | { readonly type: "stuck"; readonly term: string; readonly tab: string; readonly why: Failure }
  | { readonly type: "answer"; readonly term: string; readonly tab: string; readonly id: number; readonly answer: Answer }

/** What is said to all: who leads? I do. This is new. */
export type ToAll =
  | { readonly type: "who" }
  | { readonly type: "lead"; readonly term: string; readonly isVolatile: boolean }
  | { readonly type: "tell"; readonly term: string; readonly body: unknown }

export type Message = ToLeader | ToTab | ToAll

export type Answer = { readonly value: unknown } | { readonly failure: Failure }

/** An error on its way to another tab. */
export interface Failure {
  readonly kind: ErrorKind
  readonly message: string
}

export function failure(error: unknown): Failure {
  if (error instanceof ClientError) return { kind: error.kind, message: error.message }
  return { kind: "unavailable", message: String(error) }
}

export function errorOf({ kind, message }: Failure): ClientError {
  return new ClientError(kind, message)
}
