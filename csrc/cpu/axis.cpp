#include "cpu/axis.h"

#include <algorithm>
#include <array>
#include <cmath>

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
        if (axis->group_weights.exact.size() + axis->line_weights.exact.size() <= kMaxWeights) {
            entries_[next_] = {key, axis};
            next_ = (next_ + 1) % entries_.size();
        }
        return axis;
    }

private:
    static constexpr std::size_t kMaxWeights = 1 << 16;
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

Axis identity(std::int64_t size) {
    Axis axis;
    axis.in = axis.out = size;
    axis.identity = true;
    return axis;
}

constexpr std::size_t kRows = kGroupRows, kPixels = kBlockPixels;

Axis make_linear(std::int64_t in, std::int64_t out) {
    if (in == out) return identity(in);
    Axis axis;
    axis.in = in;
    axis.out = out;
    axis.kind = LineKind::linear;
    axis.window = axis.line_window = 2;
    const auto pixels = static_cast<std::size_t>(out);
    axis.line_cells.resize(2 * pixels);
    std::vector<double> line_weights(2 * pixels), group_weights;
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    for (std::size_t x = 0; x < pixels; ++x) {
        const double source = std::max((static_cast<double>(x) + 0.5) * scale - 0.5, 0.0);
        const std::int64_t low = std::min(static_cast<std::int64_t>(source), in - 1);
        const double fraction = source - static_cast<double>(low);
        const auto cell = static_cast<std::int32_t>(low);
        axis.line_cells[x] = cell;
        axis.line_cells[pixels + x] = static_cast<std::int32_t>(std::min(low + 1, in - 1));
        line_weights[x] = 1 - fraction;
        line_weights[pixels + x] = fraction;
        const bool same = x > 0 && axis.line_cells[x - 1] == cell;
        if (!same || x - static_cast<std::size_t>(axis.group_begin.back()) == kRows) {
            axis.group_begin.push_back(static_cast<std::int32_t>(x));
            axis.group_cells.push_back(cell);
            axis.group_cells.push_back(axis.line_cells[pixels + x]);
            group_weights.resize(group_weights.size() + 2 * kRows);
        }
        double* const weights = &group_weights[group_weights.size() - 2 * kRows];
        const auto row = x - static_cast<std::size_t>(axis.group_begin.back());
        weights[row] = 1 - fraction;
        weights[kRows + row] = fraction;
    }
    axis.group_begin.push_back(static_cast<std::int32_t>(out));
    axis.line_weights.assign(std::move(line_weights));
    axis.group_weights.assign(std::move(group_weights));
    return axis;
}

class GaussianBand {
public:
    GaussianBand(std::int64_t in, std::int64_t out, const GaussianAxis& axis, Gain gain)
        : in_(in), out_(out), axis_(axis), gain_(gain) {}

    Axis make() {
        compute();
        Axis axis;
        axis.in = in_;
        axis.out = out_;
        std::vector<double> weights;
        axis.window = gather(kRows, axis.group_cells, weights);
        axis.group_weights.assign(std::move(weights));
        axis.line_window = gather(kPixels, axis.line_cells, weights = {});
        axis.line_weights.assign(std::move(weights));
        // the groups' cells one by one, as a linear axis has them
        std::vector<std::int32_t> firsts(std::move(axis.group_cells));
        axis.group_cells = {};
        axis.group_cells.reserve(firsts.size() * static_cast<std::size_t>(axis.window));
        for (std::size_t group = 0; group < firsts.size(); ++group) {
            axis.group_begin.push_back(static_cast<std::int32_t>(group * kRows));
            for (std::int64_t t = 0; t < axis.window; ++t)
                axis.group_cells.push_back(firsts[group] + static_cast<std::int32_t>(t));
        }
        axis.group_begin.push_back(static_cast<std::int32_t>(out_));
        return axis;
    }

private:
    /// The band: first cell of each pixel, and its weights by pixel, then tap.
    void compute() {
        taps_ = taps();
        firsts_.resize(static_cast<std::size_t>(out_));
        weights_.resize(static_cast<std::size_t>(out_ * taps_));
        std::vector<double> mass(static_cast<std::size_t>(gain_ == Gain::mass ? in_ : 0));
        for (std::int64_t x = 0; x < out_; ++x) {
            const std::int64_t first = first_cell(x, taps_);
            firsts_[static_cast<std::size_t>(x)] = first;
            // Exponents are taken relative to the largest of their sum, so that no sum is 0: far outside the
            // cells a pixel's average is the nearest cell, far outside the image a cell's mass is the nearest
            // pixel's.
            const double nearest = gain_ == Gain::average ? exponent(x, nearest_cell(x)) : 0;
            double sum = 0;
            for (std::int64_t t = 0; t < taps_; ++t) {
                const std::int64_t cell = first + t;
                const double shift = gain_ == Gain::mass ? exponent(nearest_pixel(cell), cell) : nearest;
                const double weight = std::exp(exponent(x, cell) - shift);
                weights_[static_cast<std::size_t>(x * taps_ + t)] = weight;
                sum += weight;
                if (gain_ == Gain::mass) mass[static_cast<std::size_t>(cell)] += weight;
            }
            if (gain_ == Gain::average)
                for (std::int64_t t = 0; t < taps_; ++t)
                    weights_[static_cast<std::size_t>(x * taps_ + t)] /= sum;
        }
        if (gain_ == Gain::mass)
            for (std::int64_t x = 0; x < out_; ++x)
                for (std::int64_t t = 0; t < taps_; ++t)
                    weights_[static_cast<std::size_t>(x * taps_ + t)] /=
                        mass[static_cast<std::size_t>(firsts_[static_cast<std::size_t>(x)] + t)];
    }

    /// `size` pixels at a time over the cells that any of them has: the first cell of each such block, the
    /// weights by block, then cell, then pixel, and the number of cells, which is returned.
    std::int64_t gather(std::size_t size, std::vector<std::int32_t>& cells, std::vector<double>& weights) {
        const auto pixels = static_cast<std::size_t>(out_);
        std::int64_t window = 0;
        for (std::size_t x = 0; x < pixels; x += size)
            window = std::max(window, firsts_[std::min(x + size, pixels) - 1] + taps_ - firsts_[x]);
        const std::size_t blocks = (pixels + size - 1) / size, span = static_cast<std::size_t>(window);
        cells.resize(blocks);
        weights.resize(blocks * span * size);
        for (std::size_t x = 0; x < pixels; ++x) {
            const std::int64_t block_first = std::min(firsts_[x / size * size], in_ - window);
            cells[x / size] = static_cast<std::int32_t>(block_first);
            for (std::int64_t t = 0; t < taps_; ++t) {
                const auto cell = static_cast<std::size_t>(firsts_[x] + t - block_first);
                weights[(x / size * span + cell) * size + x % size] =
                    weights_[x * static_cast<std::size_t>(taps_) + static_cast<std::size_t>(t)];
            }
        }
        return window;
    }

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
    std::int64_t taps_ = 0;
    std::vector<std::int64_t> firsts_;
    std::vector<double> weights_;
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
