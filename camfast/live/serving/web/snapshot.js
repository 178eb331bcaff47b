// A PNG of what this page shows, with what is known of it as text inside: Pillow's Image.open(path).text["camfast"].
// It is made here and not by the server, because only the page knows what it shows: it may be paused.

export async function snapshot(canvases, facts, version) {
  const whole = document.createElement("canvas");
  whole.width = canvases.reduce((sum, one) => sum + one.width, 0);
  whole.height = Math.max(...canvases.map((one) => one.height));
  const context = whole.getContext("2d", { alpha: false });
  let left = 0;
  for (const one of canvases) {
    context.drawImage(one, left, 0);
    left += one.width;
  }
  const blob = await new Promise((done) => whole.toBlob(done, "image/png"));
  const png = new Uint8Array(await blob.arrayBuffer());
  const afterHeader = 8 + 25; // the signature, and IHDR, which is always the first chunk
  const texts = [text("Software", `camfast ${version}`), text("camfast", JSON.stringify(facts))];
  return new Blob([png.subarray(0, afterHeader), ...texts, png.subarray(afterHeader)], { type: "image/png" });
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A chunk iTXt, which holds UTF-8: keyword, 0, not compressed (0, 0), no language (0), no other keyword (0), text.
function text(keyword, value) {
  const utf8 = new TextEncoder();
  return chunk("iTXt", [...utf8.encode(keyword), 0, 0, 0, 0, 0, ...utf8.encode(value)]);
}

function chunk(type, content) {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc32(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
