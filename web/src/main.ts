import { mount } from 'svelte';
import App from './App.svelte';
import './style.css';
import type { Document } from './document';

const inside = document.getElementById('document')?.textContent;
const target = document.getElementById('app');
if (target) mount(App, { target, props: { doc: inside ? (JSON.parse(inside) as Document) : null } });

// A printed page has every section open.
let opened: HTMLDetailsElement[] = [];
window.addEventListener('beforeprint', () => {
  opened = [...document.querySelectorAll<HTMLDetailsElement>('details:not([open])')];
  for (const one of opened) one.open = true;
});
window.addEventListener('afterprint', () => {
  for (const one of opened) one.open = false;
});
