export interface JobProgress {
  what: string;
  done: number;
  total: number;
}

interface JobEvent<T> {
  state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  progress?: JobProgress;
  error?: string;
  answer?: T;
}

/** What the server says of a job, until its answer is there. Aborting the signal cancels it on the server. */
export function follow<T>(id: string, signal?: AbortSignal, progress?: (now: JobProgress) => void): Promise<T> {
  return new Promise((done, failed) => {
    const events = new EventSource(`/api/v1/jobs/${id}/events`);
    const cancel = () => {
      events.close();
      void fetch(`/api/v1/jobs/${id}`, { method: 'DELETE' }).catch(() => undefined);
      failed(new DOMException('cancelled', 'AbortError'));
    };
    if (signal?.aborted) {
      cancel();
      return;
    }
    signal?.addEventListener('abort', cancel, { once: true });
    const end = () => {
      events.close();
      signal?.removeEventListener('abort', cancel);
    };
    events.onmessage = (event) => {
      const said = JSON.parse(event.data as string) as JobEvent<T>;
      if (said.state === 'running' && said.progress) progress?.(said.progress);
      if (said.state === 'waiting' || said.state === 'running') return;
      end();
      if (said.state === 'done') done(said.answer as T);
      else failed(new Error(said.error ?? said.state));
    };
    events.onerror = () => {
      end();
      failed(new Error('the server does not answer'));
    };
  });
}
