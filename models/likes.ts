/** How the pixels of a picture become the numbers that a graph takes, of 0 to 1 and in the order of `channels`. */
export interface Scale {
  readonly channels: 'RGB' | 'BGR';
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const ofBytes = [1 / 255, 1 / 255, 1 / 255];

/** Scales by the name under which people know them. */
export const likes: Readonly<Record<string, Scale>> = {
  /** torchvision and most of timm; "torch" in Keras. */
  imagenet: { channels: 'RGB', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  /** -1 to 1: "tf" in Keras, Teachable Machine, ViT, Inception. */
  tf: { channels: 'RGB', mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  /** 0 to 255, blue first, less the mean of ImageNet: "caffe" in Keras, such as its ResNet50 and VGG16. */
  caffe: { channels: 'BGR', mean: [103.939, 116.779, 123.68].map((value) => value / 255), std: ofBytes },
  /** 0 to 255: EfficientNet and MobileNetV3 of Keras, which scale in the graph. */
  raw: { channels: 'RGB', mean: [0, 0, 0], std: ofBytes },
  /** 0 to 1: YOLO, fast.ai's unnormalized learners. */
  unit: { channels: 'RGB', mean: [0, 0, 0], std: [1, 1, 1] },
};

/** torchvision's weights of the first kind, and most of timm, see 87.5 % of the shorter side: 224 of 256 pixels. */
export const imagenetShare = 0.875;

const ranges: Readonly<Record<string, string>> = {
  nominalrange_0_255: 'raw',
  normalized_0_1: 'unit',
  normalized_1_1: 'tf',
};

/** The scale that ONNX's own metadata tell, as Azure Custom Vision writes them; undefined where they do not. */
export function scaleOf(metadata: Readonly<Record<string, string>>): Scale | undefined {
  const scale = likes[ranges[metadata['image.nominalpixelrange']?.toLowerCase() ?? ''] ?? ''];
  const format = metadata['image.bitmappixelformat']?.toLowerCase();
  if (scale === undefined || format === undefined) return undefined;
  return format.startsWith('bgr') ? { ...scale, channels: 'BGR' } : scale;
}
