// Frames and the colour scale, drawn on canvases.

// Draws one picture of a message: {format, width, height, channels, data}.
export async function draw(canvas, image) {
  const source = image.format === "raw" ? pixels(image) : await decoded(image);
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  const context = canvas.getContext("2d", { alpha: false });
  if (source instanceof ImageData) {
    context.putImageData(source, 0, 0);
  } else {
    context.drawImage(source, 0, 0);
    source.close();
  }
}

function decoded(image) {
  return createImageBitmap(new Blob([image.data], { type: `image/${image.format}` }));
}

function pixels({ width, height, channels, data }) {
  const out = new ImageData(width, height);
  const rgba = out.data;
  for (let from = 0, to = 0; to < rgba.length; from += channels, to += 4) {
    rgba[to] = data[from];
    rgba[to + 1] = data[channels === 3 ? from + 1 : from];
    rgba[to + 2] = data[channels === 3 ? from + 2 : from];
    rgba[to + 3] = 255;
  }
  return out;
}

// Draws a colour table (256 × 3 bytes); what lies below the threshold is left out, as it is in the picture.
export function drawScale(canvas, table, threshold) {
  const row = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) {
    row.data.set(table.subarray(3 * i, 3 * i + 3), 4 * i);
    row.data[4 * i + 3] = i / 255 >= threshold ? 255 : 0;
  }
  canvas.getContext("2d").putImageData(row, 0, 0);
}

export function table(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// A number with three digits, as short as it goes.
export function short(number) {
  if (number === null || number === undefined) return "–";
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return number.toExponential(1);
  return String(Number(number.toPrecision(3)));
}
