// Sound of the microphone in blocks of 40 ms, as signed 16-bit samples, to the page's own thread.
class Blocks extends AudioWorkletProcessor {
  constructor() { super(); this.block = new Int16Array(640); this.filled = 0; }
  process(inputs) {
    const sound = inputs[0][0];
    if (!sound) return true;
    for (const value of sound) {
      this.block[this.filled++] = Math.max(-1, Math.min(1, value)) * 32767;
      if (this.filled === this.block.length) { this.port.postMessage(this.block.slice().buffer); this.filled = 0; }
    }
    return true;
  }
}
registerProcessor('blocks', Blocks);
