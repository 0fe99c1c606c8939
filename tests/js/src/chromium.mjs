// Unpacks the Chromium inside npm `@sparticuz/chromium` into the folder given and prints where its executable lies.
const [folder] = process.argv.slice(2);
process.env.TMPDIR = folder;
// The package adds the shared libraries that a bare system lacks (NSS and others) only where it takes the machine for
// the one it was made for. They come to lie in `al2023/lib` beside the executable; whoever starts it names that folder.
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x";
const { default: chromium } = await import("@sparticuz/chromium");

process.stdout.write(`${await chromium.executablePath()}\n`);
