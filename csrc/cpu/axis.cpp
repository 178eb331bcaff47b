#include "cpu/axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace camfast::cpu {
namespace {

/// Cells farther than this many sigma from a pixel are left out: exp(-5.5^2 / 2) < 3e-7.
constexpr double kReach = 5.5;

struct Key {
    bool gaussian;
    std::int64_t in, out;
    double sigma, start, step;
    Gain gain;

    bool operator==(const Key& other) const noexcept {
        return gaussian == other.gaussian && in == other.in && out == other.out && sigma == other.sigma &&
               start == other.start && step == other.step && gain == other.gain;
    }
};

/// The axes that a thread used last: a small map takes less time than its exponentials.
class Memo {
public:
    template <class Make>
    std::shared_ptr<const Axis> get(const Key& key, Make make) {
        for (const Entry& entry : entries_)
            if (entry.axis && entry.key == key) return entry.axis;
        auto axis = std::make_shared<const Axis>(make());
        if (axis->taps * axis->out <= kMaxTaps) {
            entries_[next_] = {key, axis};
            next_ = (next_ + 1) % entries_.size();
        }
        return axis;
    }

private:
    static constexpr std::int64_t kMaxTaps = 1 << 14;
    struct Entry {
        Key key{};
        std::shared_ptr<const Axis> axis;
    };
    std::array<Entry, 12> entries_;
    std::size_t next_ = 0;
};

Memo& memo() {
    thread_local Memo result;
    return result;
}

Axis sized(std::int64_t in, std::int64_t out, std::int64_t taps) {
    Axis axis;
    axis.in = in;
    axis.out = out;
    axis.taps = taps;
    const auto count = static_cast<std::size_t>(out * taps);
    axis.index.resize(count);
    axis.weight64.resize(count);
    return axis;
}

/// Fills the other tables from `index` and `weight64`.
void finish(Axis& axis) {
    const auto out = static_cast<std::size_t>(axis.out);
    const auto taps = static_cast<std::size_t>(axis.taps);
    axis.weight32.assign(axis.weight64.begin(), axis.weight64.end());
    axis.index_by_tap.resize(out * taps);
    axis.weight32_by_tap.resize(out * taps);
    axis.weight64_by_tap.resize(out * taps);
    for (std::size_t x = 0; x < out; ++x)
        for (std::size_t t = 0; t < taps; ++t) {
            axis.index_by_tap[t * out + x] = axis.index[x * taps + t];
            axis.weight32_by_tap[t * out + x] = axis.weight32[x * taps + t];
            axis.weight64_by_tap[t * out + x] = axis.weight64[x * taps + t];
        }
}

Axis identity(std::int64_t size) {
    Axis axis;
    axis.in = axis.out = size;
    axis.identity = true;
    return axis;
}

Axis make_linear(std::int64_t in, std::int64_t out) {
    if (in == out) return identity(in);
    Axis axis = sized(in, out, 2);
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    for (std::int64_t x = 0; x < out; ++x) {
        const double source = std::max((static_cast<double>(x) + 0.5) * scale - 0.5, 0.0);
        const std::int64_t low = std::min(static_cast<std::int64_t>(source), in - 1);
        const double fraction = source - static_cast<double>(low);
        const auto at = static_cast<std::size_t>(2 * x);
        axis.index[at] = static_cast<std::int32_t>(low);
        axis.index[at + 1] = static_cast<std::int32_t>(std::min(low + 1, in - 1));
        axis.weight64[at] = 1 - fraction;
        axis.weight64[at + 1] = fraction;
    }
    finish(axis);
    return axis;
}

class GaussianBand {
public:
    GaussianBand(std::int64_t in, std::int64_t out, const GaussianAxis& axis, Gain gain)
        : in_(in), out_(out), axis_(axis), gain_(gain) {}

    Axis make() {
        Axis band = sized(in_, out_, taps());
        std::vector<double> mass(static_cast<std::size_t>(gain_ == Gain::mass ? in_ : 0));
        for (std::int64_t x = 0; x < out_; ++x) {
            const std::int64_t first = first_cell(x, band.taps);
            // Exponents are taken relative to the largest of their sum, so that no sum is 0: far outside the
            // cells a pixel's average is the nearest cell, far outside the image a cell's mass is the nearest
            // pixel's.
            const double nearest = gain_ == Gain::average ? exponent(x, nearest_cell(x)) : 0;
            double sum = 0;
            for (std::int64_t t = 0; t < band.taps; ++t) {
                const std::int64_t cell = first + t;
                const double shift = gain_ == Gain::mass ? exponent(nearest_pixel(cell), cell) : nearest;
                const double weight = std::exp(exponent(x, cell) - shift);
                const auto at = static_cast<std::size_t>(x * band.taps + t);
                band.index[at] = static_cast<std::int32_t>(cell);
                band.weight64[at] = weight;
                sum += weight;
                if (gain_ == Gain::mass) mass[static_cast<std::size_t>(cell)] += weight;
            }
            if (gain_ == Gain::average)
                for (std::int64_t t = 0; t < band.taps; ++t)
                    band.weight64[static_cast<std::size_t>(x * band.taps + t)] /= sum;
        }
        if (gain_ == Gain::mass)
            for (std::size_t i = 0; i < band.index.size(); ++i)
                band.weight64[i] /= mass[static_cast<std::size_t>(band.index[i])];
        finish(band);
        return band;
    }

private:
    double centre(std::int64_t cell) const { return axis_.start + static_cast<double>(cell) * axis_.step; }

    double exponent(std::int64_t x, std::int64_t cell) const {
        const double distance = (static_cast<double>(x) - centre(cell)) / axis_.sigma;
        return -0.5 * distance * distance;
    }

    static std::int64_t nearest(double position, std::int64_t size) {
        return static_cast<std::int64_t>(
            std::clamp(std::round(position), 0.0, static_cast<double>(size - 1)));
    }
    std::int64_t nearest_cell(std::int64_t x) const {
        return nearest((static_cast<double>(x) - axis_.start) / axis_.step, in_);
    }
    std::int64_t nearest_pixel(std::int64_t cell) const { return nearest(centre(cell), out_); }

    /// Cells within reach of a pixel; all of them where one so far outside the image has to keep its mass.
    std::int64_t taps() const {
        const double reach = kReach * axis_.sigma;
        const bool outside = centre(0) < -reach || centre(in_ - 1) > static_cast<double>(out_ - 1) + reach;
        if (gain_ == Gain::mass && outside) return in_;
        const double wanted = 2 * std::floor(reach / axis_.step) + 3;
        return wanted < static_cast<double>(in_) ? static_cast<std::int64_t>(wanted) : in_;
    }

    /// The window of `taps` cells around the pixel, moved inside the grid.
    std::int64_t first_cell(std::int64_t x, std::int64_t taps) const {
        return std::clamp<std::int64_t>(nearest_cell(x) - taps / 2, 0, in_ - taps);
    }

    std::int64_t in_, out_;
    const GaussianAxis& axis_;
    Gain gain_;
};

}  // namespace

std::shared_ptr<const Axis> linear_axis(std::int64_t in, std::int64_t out) {
    return memo().get({false, in, out, 0, 0, 0, Gain::spray}, [&] { return make_linear(in, out); });
}

std::shared_ptr<const Axis> gaussian_axis(std::int64_t in, std::int64_t out, const GaussianAxis& axis,
                                          Gain gain) {
    if (!(axis.sigma > 0)) return std::make_shared<const Axis>(identity(in));
    return memo().get({true, in, out, axis.sigma, axis.start, axis.step, gain},
                      [&] { return GaussianBand(in, out, axis, gain).make(); });
}

}  // namespace camfast::cpu
