;; The scan of a baseline JPEG at an eighth, a quarter or half of its size, for shrink.ts.
;; scan.ts is this text assembled: after a change, `npm run build && node dist/tests/support/assemble.js`.
;;
;; No block is ever transformed back to 8 x 8 pixels. Each coefficient adds its share to the few cells that the block becomes: a cell is
;; the mean of the pixels that it covers, and the shares are in `table`, the quantization among them.
;; A Huffman table lies in memory as 512 Int16 by the next nine bits (length << 8 | symbol, -1: longer), 17 Int32 `bounds` (by length, the
;; first code that is too large), 17 Int32 `deltas` (by length, from code to place) and 256 symbols.
;; A component is ten Int32: Huffman table for DC, for AC, `table`, vectors of four cells a block, predictor, blocks across and down in an
;; MCU, cells across and down a block, plane.
(module
  (memory (export "memory") 1)

  ;; Decodes the MCU rows down to `$endDown` and writes the cells of MCUs from `$fromAcross` and `$fromDown` on into the planes. 1: done;
  ;; 0: there is something in the scan that a decoder has to make up for.
  (func (export "scan")
    (param $at i32) (param $components i32) (param $componentsEnd i32)
    (param $across i32) (param $fromAcross i32) (param $endAcross i32) (param $fromDown i32) (param $endDown i32)
    (param $stride i32) (param $interval i32) (param $cells i32)
    (result i32)
    (local $bits i64) (local $count i32) (local $invented i32) (local $byte i32)
    (local $x i32) (local $y i32) (local $left i32) (local $restart i32) (local $isWanted i32)
    (local $component i32) (local $blocks i32) (local $block i32) (local $weights i32) (local $vectors i32)
    (local $huffman i32) (local $k i32) (local $entry i32) (local $length i32) (local $code i32) (local $size i32) (local $value i32)
    (local $from i32) (local $to i32) (local $end i32) (local $rows i32) (local $columns i32) (local $sum v128)
    (local.set $left (local.get $interval))
    (loop $mcuRows
      (local.set $x (i32.const 0))
      (loop $mcus
        ;; A restart marker: what is left of the byte before it is thrown away, predictors begin anew.
        (if (local.get $interval)
          (then
            (if (i32.eqz (local.get $left))
              (then
                (if (i32.gt_s (local.get $invented) (local.get $count)) (then (return (i32.const 0))))
                (if (i32.ne
                      (i32.load16_u (local.get $at))
                      (i32.or (i32.const 0xd0ff) (i32.shl (local.get $restart) (i32.const 8))))
                  (then (return (i32.const 0))))
                (local.set $at (i32.add (local.get $at) (i32.const 2)))
                (local.set $restart (i32.and (i32.add (local.get $restart) (i32.const 1)) (i32.const 7)))
                (local.set $left (local.get $interval))
                (local.set $bits (i64.const 0))
                (local.set $count (i32.const 0))
                (local.set $invented (i32.const 0))
                (local.set $component (local.get $components))
                (loop $predictors
                  (i32.store offset=16 (local.get $component) (i32.const 0))
                  (br_if $predictors
                    (i32.lt_u
                      (local.tee $component (i32.add (local.get $component) (i32.const 40)))
                      (local.get $componentsEnd))))))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))))
        (local.set $isWanted
          (i32.and
            (i32.ge_u (local.get $y) (local.get $fromDown))
            (i32.and
              (i32.ge_u (local.get $x) (local.get $fromAcross))
              (i32.lt_u (local.get $x) (local.get $endAcross)))))
        (local.set $component (local.get $components))
        (loop $perComponent
          (local.set $blocks
            (i32.mul (i32.load offset=20 (local.get $component)) (i32.load offset=24 (local.get $component))))
          (local.set $block (i32.const 0))
          (loop $perBlock
            (local.set $weights (i32.load offset=8 (local.get $component)))
            (local.set $vectors (i32.load offset=12 (local.get $component)))
            (local.set $huffman (i32.load (local.get $component)))
            (local.set $k (i32.const 0))
            (block $blockDone
              (loop $symbols
                ;; A code and its bits are 32 at most.
                (if (i32.lt_s (local.get $count) (i32.const 32))
                  (then
                    (local.set $byte (i32.load (local.get $at)))
                    (if (i32.and
                          (i32.and (local.get $byte) (i32.const 0x80808080))
                          (i32.sub (i32.xor (local.get $byte) (i32.const -1)) (i32.const 0x01010101)))
                      (then ;; perhaps a byte of 255
                        (loop $refill
                          (local.set $byte (i32.load8_u (local.get $at)))
                          (if (i32.eq (local.get $byte) (i32.const 255))
                            (then
                              (if (i32.load8_u offset=1 (local.get $at))
                                (then ;; a marker: zeros are invented
                                  (local.set $byte (i32.const 0))
                                  (local.set $invented (i32.add (local.get $invented) (i32.const 8))))
                                (else (local.set $at (i32.add (local.get $at) (i32.const 2))))))
                            (else (local.set $at (i32.add (local.get $at) (i32.const 1)))))
                          (local.set $bits
                            (i64.or
                              (local.get $bits)
                              (i64.shl
                                (i64.extend_i32_u (local.get $byte))
                                (i64.extend_i32_u (i32.sub (i32.const 56) (local.get $count))))))
                          (br_if $refill
                            (i32.le_s
                              (local.tee $count (i32.add (local.get $count) (i32.const 8)))
                              (i32.const 56)))))
                      (else ;; four bytes, the first one highest
                        (local.set $byte
                          (i32.or
                            (i32.and (i32.rotl (local.get $byte) (i32.const 8)) (i32.const 0x00ff00ff))
                            (i32.and (i32.rotr (local.get $byte) (i32.const 8)) (i32.const 0xff00ff00))))
                        (local.set $bits
                          (i64.or
                            (local.get $bits)
                            (i64.shl
                              (i64.extend_i32_u (local.get $byte))
                              (i64.extend_i32_u (i32.sub (i32.const 32) (local.get $count))))))
                        (local.set $at (i32.add (local.get $at) (i32.const 4)))
                        (local.set $count (i32.add (local.get $count) (i32.const 32)))))))
                (local.set $entry
                  (i32.load16_s
                    (i32.add
                      (local.get $huffman)
                      (i32.shl (i32.wrap_i64 (i64.shr_u (local.get $bits) (i64.const 55))) (i32.const 1)))))
                (if (i32.lt_s (local.get $entry) (i32.const 0))
                  (then
                    (local.set $length (i32.const 9))
                    (block $found
                      (loop $longer
                        (if (i32.gt_u (local.tee $length (i32.add (local.get $length) (i32.const 1))) (i32.const 16))
                          (then (return (i32.const 0))))
                        (local.set $code
                          (i32.wrap_i64
                            (i64.shr_u
                              (local.get $bits)
                              (i64.extend_i32_u (i32.sub (i32.const 64) (local.get $length))))))
                        (local.set $from (i32.add (local.get $huffman) (i32.shl (local.get $length) (i32.const 2))))
                        (br_if $found (i32.lt_u (local.get $code) (i32.load offset=1024 (local.get $from))))
                        (br $longer)))
                    (local.set $size
                      (i32.load8_u offset=1160
                        (i32.add
                          (local.get $huffman)
                          (i32.and
                            (i32.add (local.get $code) (i32.load offset=1092 (local.get $from)))
                            (i32.const 255))))))
                  (else
                    (local.set $length (i32.shr_u (local.get $entry) (i32.const 8)))
                    (local.set $size (i32.and (local.get $entry) (i32.const 255)))))
                (local.set $bits (i64.shl (local.get $bits) (i64.extend_i32_u (local.get $length))))
                (local.set $count (i32.sub (local.get $count) (local.get $length)))
                ;; The first coefficient has no run before it; those that follow have.
                (if (local.get $k)
                  (then
                    (local.set $k (i32.add (local.get $k) (i32.shr_u (local.get $size) (i32.const 4))))
                    (if (i32.eqz (i32.and (local.get $size) (i32.const 15)))
                      (then
                        (br_if $blockDone (i32.ne (local.get $size) (i32.const 0xf0)))
                        (br_if $symbols (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 64)))
                        (br $blockDone)))
                    (local.set $size (i32.and (local.get $size) (i32.const 15)))
                    (if (i32.gt_u (local.get $k) (i32.const 63)) (then (return (i32.const 0)))))
                  (else
                    (if (i32.gt_u (local.get $size) (i32.const 15)) (then (return (i32.const 0))))))
                (local.set $value (i32.const 0))
                (if (local.get $size)
                  (then
                    ;; A first bit of 0 means a number below zero: without a branch, for nothing foretells it.
                    (local.set $value
                      (i32.add
                        (i32.wrap_i64
                          (i64.shr_u
                            (local.get $bits)
                            (i64.extend_i32_u (i32.sub (i32.const 64) (local.get $size)))))
                        (i32.and
                          (i32.wrap_i64 (i64.shr_s (i64.xor (local.get $bits) (i64.const -1)) (i64.const 63)))
                          (i32.sub (i32.const 1) (i32.shl (i32.const 1) (local.get $size))))))
                    (local.set $bits (i64.shl (local.get $bits) (i64.extend_i32_u (local.get $size))))
                    (local.set $count (i32.sub (local.get $count) (local.get $size)))))
                (if (i32.eqz (local.get $k))
                  (then
                    (local.set $value (i32.add (local.get $value) (i32.load offset=16 (local.get $component))))
                    (i32.store offset=16 (local.get $component) (local.get $value))
                    (local.set $huffman (i32.load offset=4 (local.get $component)))
                    ;; 128, and a half for the rounding that follows
                    (local.set $sum
                      (f32x4.add
                        (f32x4.splat (f32.const 128.5))
                        (f32x4.mul
                          (f32x4.splat (f32.convert_i32_s (local.get $value)))
                          (v128.load (local.get $weights)))))
                    (local.set $to (local.get $cells))
                    (local.set $end (i32.add (local.get $cells) (i32.shl (local.get $vectors) (i32.const 4))))
                    (loop $fill
                      (v128.store (local.get $to) (local.get $sum))
                      (br_if $fill
                        (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const 16))) (local.get $end)))))
                  (else
                    (if (local.get $isWanted)
                      (then
                        (local.set $sum (f32x4.splat (f32.convert_i32_s (local.get $value))))
                        (local.set $from
                          (i32.add
                            (local.get $weights)
                            (i32.mul (local.get $k) (i32.shl (local.get $vectors) (i32.const 4)))))
                        (local.set $to (local.get $cells))
                        (loop $add
                          (v128.store
                            (local.get $to)
                            (f32x4.add
                              (v128.load (local.get $to))
                              (f32x4.mul (local.get $sum) (v128.load (local.get $from)))))
                          (local.set $from (i32.add (local.get $from) (i32.const 16)))
                          (br_if $add
                            (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const 16))) (local.get $end))))))))
                (br_if $symbols
                  (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 64)))))
            (if (local.get $isWanted)
              (then
                ;; To bytes, four cells at a time, then row by row into the plane.
                (local.set $from (local.get $cells))
                (local.set $to (i32.add (local.get $cells) (i32.const 256)))
                (loop $round
                  (local.set $sum (i32x4.trunc_sat_f32x4_s (v128.load (local.get $from))))
                  (local.set $sum (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum)))
                  (v128.store32_lane 0 (local.get $to) (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
                  (local.set $to (i32.add (local.get $to) (i32.const 4)))
                  (br_if $round
                    (i32.lt_u (local.tee $from (i32.add (local.get $from) (i32.const 16))) (local.get $end))))
                (local.set $from (i32.add (local.get $cells) (i32.const 256)))
                (local.set $rows (i32.load offset=32 (local.get $component)))
                (local.set $to
                  (i32.add
                    (i32.load offset=36 (local.get $component))
                    (i32.add
                      (i32.mul
                        (local.get $stride)
                        (i32.mul
                          (local.get $rows)
                          (i32.add
                            (i32.mul
                              (i32.sub (local.get $y) (local.get $fromDown))
                              (i32.load offset=24 (local.get $component)))
                            (i32.div_u (local.get $block) (i32.load offset=20 (local.get $component))))))
                      (i32.mul
                        (i32.load offset=28 (local.get $component))
                        (i32.add
                          (i32.mul
                            (i32.sub (local.get $x) (local.get $fromAcross))
                            (i32.load offset=20 (local.get $component)))
                          (i32.rem_u (local.get $block) (i32.load offset=20 (local.get $component))))))))
                (loop $copyRows
                  (local.set $columns (i32.const 0))
                  (loop $copy
                    (i32.store8
                      (i32.add (local.get $to) (local.get $columns))
                      (i32.load8_u (local.get $from)))
                    (local.set $from (i32.add (local.get $from) (i32.const 1)))
                    (br_if $copy
                      (i32.lt_u
                        (local.tee $columns (i32.add (local.get $columns) (i32.const 1)))
                        (i32.load offset=28 (local.get $component)))))
                  (local.set $to (i32.add (local.get $to) (local.get $stride)))
                  (br_if $copyRows (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
            (br_if $perBlock
              (i32.lt_u (local.tee $block (i32.add (local.get $block) (i32.const 1))) (local.get $blocks))))
          (br_if $perComponent
            (i32.lt_u
              (local.tee $component (i32.add (local.get $component) (i32.const 40)))
              (local.get $componentsEnd))))
        (br_if $mcus (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (local.get $across))))
      (br_if $mcuRows (i32.lt_u (local.tee $y (i32.add (local.get $y) (i32.const 1))) (local.get $endDown))))
    (i32.le_s (local.get $invented) (local.get $count))))
