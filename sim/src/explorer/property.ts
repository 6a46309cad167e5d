/** What has to hold in every state. */
export const alwaysProperties = {
  agreement: 'no two replicas ever commit different prepares at one op',
  'nothing-lost': 'what was committed in a view is in every log of a later view',
  'one-prepare': 'a view has at most one prepare an op',
  'never-back': 'view, log view, commit number and checkpoint on a disk never go back',
  persistence: 'no message speaks for a view, or a log view, that is not in the superblock',
  'acked-durable': 'no prepare_ok for a prepare that is not on the disk',
  'never-resumed': 'a primary that restarts does not resume its view',
  'exactly-once': 'no request is executed twice, and a client is told only of what is committed',
  'equal-state': 'equal ops, equal states',
  converges: 'from every state the replicas can come to agree again',
  assertion: 'no assertion of the replica fails',
} as const;

export type AlwaysProperty = keyof typeof alwaysProperties;

export const isAlwaysProperty = (text: string): text is AlwaysProperty => Object.hasOwn(alwaysProperties, text);

export interface Violation {
  readonly property: AlwaysProperty;
  readonly message: string;
}

/** Thrown where a property is found not to hold, and caught where an event was run. */
export class PropertyError extends Error {
  readonly property: AlwaysProperty;

  constructor(property: AlwaysProperty, message: string) {
    super(message);
    this.property = property;
  }
}

/** What has to be seen at least once, or the exploration was hollow. In the order of the bits. */
export const sometimesProperties = [
  'commits in view 1',
  'commits in view 2',
  'commits in view 3',
  'commits in view 4',
  'a view change commits an inherited op',
  'a nack truncates an op',
  'a restarted replica takes part again',
  'a replica is unsure of its head',
  'a request sent again is answered from the session table',
  'a faulty slot is repaired',
  'a body is repaired',
] as const;

export type SometimesProperty = (typeof sometimesProperties)[number];

export const sometimesBit = (property: SometimesProperty): number => 1 << sometimesProperties.indexOf(property);
