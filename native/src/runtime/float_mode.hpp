// Rounding to nearest, and subnormal numbers that count: what all kernels are written for.
#pragma once
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace zeropoint {

// While it lives, its thread computes as IEEE 754 says, whatever some other library has set (a program
// linked with -ffast-math flushes subnormals to zero for everybody); then as before.
class FloatMode {
public:
#if defined(__SSE2__)
    FloatMode() : before_(_mm_getcsr()) { _mm_setcsr(0x1f80); }  // no traps, no flushing
    ~FloatMode() { _mm_setcsr(before_); }
#else
    FloatMode() {}
#endif
    FloatMode(const FloatMode&) = delete;
    FloatMode& operator=(const FloatMode&) = delete;

private:
    unsigned before_ = 0;
};

}  // namespace zeropoint
