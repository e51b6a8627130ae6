;; Pillow's two passes over RGB pixels of 8 bits, four sums at a time, for resize.ts.
;; passes.ts is this text assembled: after a change, `npm run build && node dist/tests/support/assemble.js`.
;;
;; A filter lies in memory as Filter has it: `starts` and `counts`, an Int32 for each pixel of the crop, and `weights`, `stride` Int32 for
;; each. Sums begin at one half (0x200000), wrap at 32 bits, lose the weights' 22 bits and are clamped to 0..255.
;; What is written may go on for 15 bytes behind its end, and so may what is read: the next pixel or row overwrites it, or nothing lies there.
(module
  (memory (export "memory") 1)

  ;; Each row of `rowBytes` bytes becomes `width` pixels. A pixel's three channels and a byte of its neighbor are summed in one vector.
  (func (export "across")
    (param $row i32) (param $rowBytes i32) (param $height i32)
    (param $starts i32) (param $counts i32) (param $weights i32) (param $stride i32) (param $width i32)
    (param $to i32)
    (local $at i32) (local $end i32) (local $from i32) (local $weight i32) (local $weightsOfPixel i32) (local $taps i32)
    (local $sum v128)
    (local.set $stride (i32.shl (local.get $stride) (i32.const 2)))
    (local.set $end (i32.shl (local.get $width) (i32.const 2)))
    (loop $rows
      (local.set $at (i32.const 0))
      (local.set $weightsOfPixel (local.get $weights))
      (loop $pixels
        (local.set $from
          (i32.add
            (local.get $row)
            (i32.mul (i32.load (i32.add (local.get $starts) (local.get $at))) (i32.const 3))))
        (local.set $taps (i32.load (i32.add (local.get $counts) (local.get $at))))
        (local.set $weight (local.get $weightsOfPixel))
        (local.set $sum (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (loop $sums
          (local.set $sum
            (i32x4.add
              (local.get $sum)
              (i32x4.mul
                (v128.load32_splat (local.get $weight))
                (i32x4.extend_low_i16x8_u (i16x8.extend_low_i8x16_u (v128.load32_zero (local.get $from)))))))
          (local.set $from (i32.add (local.get $from) (i32.const 3)))
          (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
          (br_if $sums (local.tee $taps (i32.sub (local.get $taps) (i32.const 1)))))
        (local.set $sum (i32x4.shr_s (local.get $sum) (i32.const 22)))
        (local.set $sum (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum)))
        (v128.store32_lane 0 (local.get $to) (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
        (local.set $to (i32.add (local.get $to) (i32.const 3)))
        (local.set $weightsOfPixel (i32.add (local.get $weightsOfPixel) (local.get $stride)))
        (br_if $pixels
          (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $end))))
      (local.set $row (i32.add (local.get $row) (local.get $rowBytes)))
      (br_if $rows (local.tee $height (i32.sub (local.get $height) (i32.const 1))))))

  ;; The rows of `rowBytes` bytes become `height`. Sixteen bytes of a row are summed in four vectors.
  (func (export "down")
    (param $rows i32) (param $rowBytes i32)
    (param $starts i32) (param $counts i32) (param $weights i32) (param $stride i32) (param $height i32)
    (param $to i32)
    (local $at i32) (local $from i32) (local $weight i32) (local $taps i32)
    (local $bytes v128) (local $words v128) (local $share v128)
    (local $first v128) (local $second v128) (local $third v128) (local $fourth v128)
    (local.set $stride (i32.shl (local.get $stride) (i32.const 2)))
    (loop $crop
      (local.set $at (i32.const 0))
      (loop $blocks
        (local.set $from
          (i32.add
            (i32.add (local.get $rows) (local.get $at))
            (i32.mul (i32.load (local.get $starts)) (local.get $rowBytes))))
        (local.set $taps (i32.load (local.get $counts)))
        (local.set $weight (local.get $weights))
        (local.set $first (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (local.set $second (local.get $first))
        (local.set $third (local.get $first))
        (local.set $fourth (local.get $first))
        (loop $sums
          (local.set $share (v128.load32_splat (local.get $weight)))
          (local.set $bytes (v128.load (local.get $from)))
          (local.set $words (i16x8.extend_low_i8x16_u (local.get $bytes)))
          (local.set $first
            (i32x4.add (local.get $first) (i32x4.mul (local.get $share) (i32x4.extend_low_i16x8_u (local.get $words)))))
          (local.set $second
            (i32x4.add (local.get $second) (i32x4.mul (local.get $share) (i32x4.extend_high_i16x8_u (local.get $words)))))
          (local.set $words (i16x8.extend_high_i8x16_u (local.get $bytes)))
          (local.set $third
            (i32x4.add (local.get $third) (i32x4.mul (local.get $share) (i32x4.extend_low_i16x8_u (local.get $words)))))
          (local.set $fourth
            (i32x4.add (local.get $fourth) (i32x4.mul (local.get $share) (i32x4.extend_high_i16x8_u (local.get $words)))))
          (local.set $from (i32.add (local.get $from) (local.get $rowBytes)))
          (local.set $weight (i32.add (local.get $weight) (i32.const 4)))
          (br_if $sums (local.tee $taps (i32.sub (local.get $taps) (i32.const 1)))))
        (v128.store
          (i32.add (local.get $to) (local.get $at))
          (i8x16.narrow_i16x8_u
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $first) (i32.const 22))
              (i32x4.shr_s (local.get $second) (i32.const 22)))
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $third) (i32.const 22))
              (i32x4.shr_s (local.get $fourth) (i32.const 22)))))
        (br_if $blocks
          (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $rowBytes))))
      (local.set $to (i32.add (local.get $to) (local.get $rowBytes)))
      (local.set $starts (i32.add (local.get $starts) (i32.const 4)))
      (local.set $counts (i32.add (local.get $counts) (i32.const 4)))
      (local.set $weights (i32.add (local.get $weights) (local.get $stride)))
      (br_if $crop (local.tee $height (i32.sub (local.get $height) (i32.const 1)))))))
