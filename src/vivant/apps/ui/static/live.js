// Camera frames go to the server one by one, never more than MOST at a time, so a slow machine gets fewer frames and
// no queue; each comes back as a picture with the time stamp it left with, which gives the delay.
'use strict';
const MOST = 3, WIDTH = 384, QUALITY = 0.8, WINDOW = 2000;
const $ = (id) => document.getElementById(id);
const state = {portrait: null, methods: [], socket: null, stream: null, flying: [], count: 0, shown: [], running: false};
window.vivantLive = state;

function problem(text) {
  $('problem').textContent = text || '';
  $('problem').hidden = !text;
}

function status(text) { $('status').textContent = text; }

function fill(select, rows, chosen) {
  select.replaceChildren(...rows.map(([text, value]) => {
    const option = document.createElement('option');
    option.textContent = text; option.value = value; option.selected = value === chosen;
    return option;
  }));
}

async function asked(response) {
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.problem || 'The server refused.');
  return answer;
}

async function takePortrait(answer) {
  problem('');
  try {
    state.portrait = await asked(await answer);
    fill($('face'), state.portrait.faces.map((face) => [face.label, face.face]), '0');
    $('face').disabled = false;
    $('start').disabled = state.running;
    status('Ready: press Start.');
  } catch (error) { problem(error.message); }
}

$('portrait').addEventListener('change', () => {
  const file = $('portrait').files[0];
  if (file) takePortrait(fetch('/live/portrait?name=' + encodeURIComponent(file.name), {method: 'POST', body: file}));
});
$('example').addEventListener('click', () => takePortrait(fetch('/live/portrait')));

const drive = () => $('drive').value;

async function loadMethods() {
  state.methods = await asked(await fetch('/live/methods'));
  if (!state.methods.some((row) => row.microphone)) $('drive').querySelector('[value=microphone]').disabled = true;
  listMethods();
}

function listMethods() {
  for (const part of document.querySelectorAll('.of-camera')) part.hidden = drive() !== 'camera';
  const able = state.methods.filter((row) => row[drive()]);
  fill($('method'), able.map((row) => [row.title, row.name]), able[0] && able[0].name);
  fill($('camera'), [['the usual one', '']], '');
  showMethod();
}
$('drive').addEventListener('change', listMethods);

function showMethod() {
  const row = state.methods.find((method) => method.name === $('method').value);
  if (!row) return;
  fill($('preset'), row.presets.map((preset) => [`${preset.name} (${preset.place})`, preset.name]), row.preset);
  $('strengths').replaceChildren(...Object.entries(row.strengths).map(([name, help]) => {
    const label = document.createElement('label'), input = document.createElement('input');
    Object.assign(input, {type: 'range', min: 0, max: 3, step: 0.05, value: 1, title: help});
    input.dataset.strength = name;
    label.append(`Strength of ${name} `, input);
    return label;
  }));
}
$('method').addEventListener('change', showMethod);

function words() {
  const strength = {};
  for (const input of document.querySelectorAll('[data-strength]')) {
    if (Number(input.value) !== 1) strength[input.dataset.strength] = Number(input.value);
  }
  return {portrait: state.portrait.id, face: $('face').value, method: $('method').value, preset: $('preset').value,
          whole: $('whole').checked, sound: drive() === 'microphone', strength};
}

async function listDevices() {
  const kind = drive() === 'camera' ? 'videoinput' : 'audioinput';
  const devices = await navigator.mediaDevices.enumerateDevices();
  const rows = devices.filter((device) => device.kind === kind && device.deviceId)
    .map((device, index) => [device.label || `Number ${index + 1}`, device.deviceId]);
  fill($('camera'), [['the usual one', ''], ...rows], $('camera').value);
}

function wish() {
  const device = $('camera').value ? {deviceId: {exact: $('camera').value}} : {};
  if (drive() === 'microphone') return {audio: {...device, echoCancellation: true}, video: false};
  return {video: {facingMode: 'user', ...device, width: {ideal: 640}}, audio: false};
}

async function start() {
  problem('');
  if (!navigator.mediaDevices) { problem('This page needs https or localhost to use a camera.'); return; }
  setRunning(true);
  status(`Opening the ${drive()} …`);
  try {
    state.stream = await navigator.mediaDevices.getUserMedia(wish());
    await listDevices();
    if (drive() === 'camera') {
      $('view').srcObject = state.stream;
      await $('view').play();
    }
  } catch (error) {
    stop();
    problem(`The ${drive()} cannot be used (${error.message}): allow it, or choose another.`);
    return;
  }
  status('Loading the method …');
  const place = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/live/socket`;
  const socket = state.socket = new WebSocket(place);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => socket.send(JSON.stringify(words()));
  socket.onmessage = (event) => typeof event.data === 'string' ? told(JSON.parse(event.data)) : show(event.data);
  socket.onclose = () => { if (state.socket === socket) { stop(); status('The connection is closed.'); } };
}

function told(message) {
  if (message.problem) { problem(message.problem); stop(); return; }
  if (message.dropped) landed(message.dropped);
  if (message.ready) { status('Live.'); begin(); }
}

function begin() {
  if (drive() === 'microphone') { listen(); return; }
  $('neutral').disabled = false;
  everyFrame();
}

async function listen() {
  const socket = state.socket, context = state.context = new AudioContext({sampleRate: 16000});
  await context.audioWorklet.addModule('/live/file/microphone.js');
  const blocks = new AudioWorkletNode(context, 'blocks');
  context.createMediaStreamSource(state.stream).connect(blocks);
  blocks.connect(context.destination);  // it is silent, but only what leads somewhere is computed
  blocks.port.onmessage = (event) => {
    if (socket.readyState !== 1) return;
    const head = new ArrayBuffer(8);
    new DataView(head).setFloat64(0, performance.now() - 40, true);  // when the block's first sample was heard
    socket.send(new Blob([head, event.data]));
  };
}

function stop() {
  setRunning(false);
  const socket = state.socket;
  state.socket = null;
  if (socket) socket.close();
  if (state.stream) state.stream.getTracks().forEach((track) => track.stop());
  state.stream = null;
  if (state.context) state.context.close();
  state.context = null;
  Object.assign(state, {flying: [], shown: []});
  status('Stopped.');
}

function setRunning(on) {
  state.running = on;
  $('start').disabled = on || !state.portrait;
  $('stop').disabled = !on;
  if (!on) $('neutral').disabled = true;
}

// the camera tells of each new frame; where a browser cannot, the screen's rhythm must do
function everyFrame() {
  const view = $('view'), mine = state.socket;
  const send = (now, about) => {
    if (!state.socket || state.socket !== mine) return;
    // a camera's own time of capture counts from an earlier moment than ours, so the delay includes reading it out
    grab(view, about && about.captureTime ? about.captureTime : performance.now());
    next();
  };
  const next = () => view.requestVideoFrameCallback ? view.requestVideoFrameCallback(send)
    : requestAnimationFrame((now) => send(now));
  next();
}

const canvas = document.createElement('canvas');
function grab(view, stamp) {
  const socket = state.socket;
  if (!view.videoWidth || state.flying.length >= MOST || socket.readyState !== 1 || socket.bufferedAmount > 0) return;
  state.flying.push(stamp);
  canvas.width = Math.min(WIDTH, view.videoWidth);
  canvas.height = Math.round(canvas.width * view.videoHeight / view.videoWidth);
  canvas.getContext('2d').drawImage(view, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(async (blob) => {
    const jpeg = await blob.arrayBuffer();
    if (socket.readyState !== 1) return;
    const head = new ArrayBuffer(8);
    new DataView(head).setFloat64(0, stamp, true);
    socket.send(new Blob([head, jpeg]));
  }, 'image/jpeg', QUALITY);
}

// answers come in order: what left before has come back or was dropped, too
function landed(stamp) { state.flying = state.flying.filter((other) => other > stamp); }

async function show(data) {
  const view = new DataView(data), stamp = view.getFloat64(0, true);
  landed(stamp);
  const picture = await createImageBitmap(new Blob([data.slice(13)], {type: 'image/jpeg'}));
  const result = $('result');
  if (result.width !== picture.width || result.height !== picture.height) {
    result.width = picture.width; result.height = picture.height;
  }
  result.getContext('2d').drawImage(picture, 0, 0);
  const now = performance.now();
  state.count += 1;
  state.shown.push({now, delay: now - stamp, work: view.getFloat32(8, true)});
  while (state.shown.length && now - state.shown[0].now > WINDOW) state.shown.shift();
  figures(now, view.getUint8(12) === 1);
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
function figures(now, seen) {
  const shown = state.shown, span = now - shown[0].now;
  if (span > 0) $('fps').textContent = (1000 * (shown.length - 1) / span).toFixed(1);
  $('delay').textContent = `${Math.round(median(shown.map((row) => row.delay)))} ms`;
  $('work').textContent = `${Math.round(median(shown.map((row) => row.work)))} ms`;
  $('count').textContent = String(state.count);
  $('seen').textContent = seen ? 'seen' : 'not seen';
}

$('start').addEventListener('click', start);
$('stop').addEventListener('click', stop);
$('neutral').addEventListener('click', () => {
  if (state.socket) state.socket.send(JSON.stringify({calibrate: true}));
  status('The next frame is the neutral face.');
});
loadMethods().catch((error) => problem(error.message));
