import { TestEnvironment } from 'jest-environment-node';

process.env.ORT_DISABLE_TELEMETRY = '1'; // here, since a test's own process.env is a copy

/** Shares typed arrays with native code, so that ONNX Runtime and sharp recognize the tests' own. */
export default class NativeEnvironment extends TestEnvironment {
  async setup() {
    await super.setup();
    this.global.Float32Array = Float32Array;
    this.global.Uint8Array = Uint8Array;
    this.global.ArrayBuffer = ArrayBuffer;
  }
}
