/** The pictures of a document as URLs that CSS and <img> take; data URIs become blobs once, so that tiles share them. */
export class Pictures {
  private urls = new Map<string, string>();

  constructor(private sources: Record<string, string>) {}

  /** "" where the document does not hold the picture. */
  url(name: string): string {
    const known = this.urls.get(name);
    if (known !== undefined) return known;
    const source = this.sources[name] ?? '';
    const url = source.startsWith('data:') ? blobUrl(source) : source;
    this.urls.set(name, url);
    return url;
  }
}

function blobUrl(dataUri: string): string {
  const comma = dataUri.indexOf(',');
  const type = dataUri.slice(5, dataUri.indexOf(';'));
  const text = atob(dataUri.slice(comma + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
  return URL.createObjectURL(new Blob([bytes], { type }));
}

/** Offers `text` as a file to save. */
export function save(name: string, text: string, type: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
