/** A node cannot start or a directory cannot be prepared, for a reason the operator can do something about. */
export class StartError extends Error {
  override readonly name = 'StartError';
}
