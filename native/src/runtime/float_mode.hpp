// Round to nearest, with subnormal numbers: the floating-point mode that all kernels assume.
#pragma once
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace zeropoint {

// While an instance exists, its thread computes as IEEE 754 requires, whatever another library has set (one
// linked with -ffast-math flushes subnormals to zero in every thread). The destructor restores the mode.
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
