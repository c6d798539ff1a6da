import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/** Makes the bundle fit into a <script> element, and writes the hash that the page's policy names. */
function forOneFile(): Plugin {
  return {
    name: 'for-one-file',
    closeBundle() {
      const file = 'dist/app.js';
      // "</script" and "<!--" would end or change the element; in JavaScript they occur inside strings and templates.
      const script = readFileSync(file, 'utf8').replace(/<\/script/gi, '<\\/script').replace(/<!--/g, '<\\!--');
      writeFileSync(file, script);
      writeFileSync('dist/hash.txt', 'sha256-' + createHash('sha256').update(script).digest('base64') + '\n');
      rmSync('dist/index.html', { force: true });
    },
  };
}

export default defineConfig({
  plugins: [svelte(), forOneFile()],
  build: {
    outDir: 'dist',
    target: 'es2021',
    cssCodeSplit: false,
    modulePreload: false,
    reportCompressedSize: false,
    lib: { entry: 'src/main.ts', formats: ['iife'], name: 'mien', fileName: () => 'app.js' },
    rollupOptions: { output: { assetFileNames: 'style.css' } },
  },
  define: { 'process.env.NODE_ENV': '"production"' },
});
