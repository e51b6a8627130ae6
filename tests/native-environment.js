import { TestEnvironment } from 'jest-environment-node';

/** Shares typed arrays with native code, so that ONNX Runtime and sharp recognize the tests' own. */
export default class NativeEnvironment extends TestEnvironment {
  async setup() {
    await super.setup();
    this.global.Float32Array = Float32Array;
    this.global.Uint8Array = Uint8Array;
    this.global.ArrayBuffer = ArrayBuffer;
  }
}
