/** What a view keeps in the query of the page's URL, so that it can be sent and opened again. */
export function asked(key: string): string | null {
  return new URLSearchParams(location.search).get(key);
}

/** Replaces the query; empty values are left out. The filter of faces stands behind the '#', and stays. */
export function remember(values: Record<string, string | number | null | undefined>): void {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== '') query.set(key, String(value));
  }
  history.replaceState(null, '', '?' + query.toString() + location.hash);
}

/** "0,2" -> [0, 2]; what is no index is passed over. */
export function indices(text: string | null, count: number): number[] {
  return (text ?? '')
    .split(',')
    .filter((one) => /^\d+$/.test(one))
    .map(Number)
    .filter((one) => one < count);
}
