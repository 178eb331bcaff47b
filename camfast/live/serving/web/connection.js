// The websocket: takes messages apart, acknowledges frames, and comes back after it was lost.
// What goes over it: docs/live/protocol.md.

const SILENCE = 5000; // ms without any message, of which one comes each second: the line is dead
const LONGEST_WAIT = 5000;

export class Connection {
  #socket = null;
  #attempt = 0;
  #heard = 0;
  #frames = Promise.resolve(); // frames are drawn one after another, in the order in which they came

  // heard(text), frame(header, images): may return a promise; changed("open" | "lost", why)
  constructor({ heard, frame, changed }) {
    Object.assign(this, { heard, frame, changed });
    this.#open();
    setInterval(() => this.#listen(), 1000);
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  say(type, fields = {}) {
    if (this.isOpen) this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  #open() {
    const address = new URL("socket", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      this.#heard = performance.now();
      this.changed("open", "");
    };
    socket.onmessage = ({ data }) => {
      this.#heard = performance.now();
      if (typeof data === "string") {
        this.#attempt = 0;
        this.heard(JSON.parse(data));
      } else {
        this.#take(data, socket);
      }
    };
    socket.onclose = async ({ reason }) => {
      const why = reason || (wasOpen ? "" : await whyRefused());
      this.changed("lost", why);
      const wait = Math.min(LONGEST_WAIT, 250 * 2 ** this.#attempt++) * (0.75 + Math.random() / 2);
      setTimeout(() => this.#open(), wait);
    };
    this.#socket = socket;
  }

  #take(buffer, socket) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    let offset = 4 + length;
    const images = {};
    for (const part of header.parts) {
      images[part.kind] = { ...part, data: new Uint8Array(buffer, offset, part.bytes) };
      offset += part.bytes;
    }
    this.#frames = this.#frames.then(async () => {
      try {
        await this.frame(header, images);
      } finally {
        if (socket.readyState === WebSocket.OPEN) {
          socket.send(JSON.stringify({ type: "shown", number: header.number }));
        }
      }
    }).catch((error) => this.changed("broken", `A frame can’t be drawn: ${error.message}`));
  }

  #listen() {
    if (this.isOpen && performance.now() - this.#heard > SILENCE) this.#socket.close();
  }
}

// A browser doesn't tell a page why a websocket was refused; the page's own address does.
async function whyRefused() {
  try {
    const answer = await fetch(document.baseURI, { cache: "no-store" });
    return answer.ok ? "" : (await answer.text()).trim();
  } catch {
    return "";
  }
}
