export type { Watched } from "./cell.js"
export { ClientError, type ErrorKind } from "./error.js"
export { Installation, onFlushTime, type InstallationStatus, type InstallOptions } from "./installation.js"
export { letSleep, wakeOnChange } from "./push.js"
export type {
  Collection,
  CounterField,
  DocumentChange,
  Input,
  LiveChange,
  MultiField,
  Order,
  Origin,
  Query,
  Row,
  SetField,
} from "./rows.js"
export { defineSchema, t } from "./schema.js"
export type { Collections, Field, FieldKind, Fields, Schema, Value, ValueType } from "./schema.js"
export { requestPersistence, space, type Space } from "./space.js"
export { watchState, type State } from "./state.js"
export { openStore } from "./store.js"
export type { Change, Found, Saved, Store, StoreOptions, Transaction } from "./store.js"
export { leadMeanwhile, Tabs } from "./tabs.js"
export type { Leading, Post, TabsOptions, TabsStatus } from "./tabs.js"
export type { TextField } from "./text-field.js"
export type {
  Conflict,
  Connection,
  CreateOptions,
  Doc,
  DocBase,
  DocumentInfo,
  Former,
  InviteOptions,
  Inspection,
  Member,
  Operation,
  TransactionOptions,
} from "./workspace.js"
export { Workspace } from "./workspace.js"
export type { EngineSource, Peer, Presence, Right, WorkspaceOptions, WorkspaceState } from "./workspace.js"
