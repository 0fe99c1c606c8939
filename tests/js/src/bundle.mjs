// Bundles one source file for the browser: node bundle.mjs FROM TO
import { build } from "esbuild";

const [from, to] = process.argv.slice(2);
await build({
  bundle: true,
  define: { "process.env": "{}", "process.env.NODE_ENV": '"production"' },
  entryPoints: [from],
  format: "iife",
  jsx: "automatic",
  logLevel: "error",
  outfile: to,
});
