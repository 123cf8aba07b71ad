/** Text, or elements by name; a list repeats what it holds. */
export type XmlNode = string | number | boolean | readonly XmlElements[] | XmlElements;
interface XmlElements {
  readonly [name: string]: XmlNode | undefined;
}

/** An answer that is not a success, as S3 words it. */
export class S3Fault extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>> | undefined;

  constructor(status: number, code: string, message: string, headers?: Readonly<Record<string, string>>) {
    super(message);
    this.name = 'S3Fault';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** A document of S3's namespace. */
export function objectStoreXml(root: Readonly<Record<string, XmlNode>>): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${elements(root)}`.replace(/^(.*\n<(?!Error)\w+)/, '$1 xmlns="http://s3.amazonaws.com/doc/2006-03-01/"');
}

function elements(nodes: XmlElements): string {
  return Object.entries(nodes).map(([name, node]) => (node === undefined ? '' : Array.isArray(node) ? content(node) : `<${name}>${content(node)}</${name}>`)).join('');
}

function content(node: XmlNode): string {
  if (Array.isArray(node)) return (node as readonly XmlElements[]).map(elements).join('');
  if (typeof node === 'object') return elements(node as XmlElements);
  return String(node).replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
