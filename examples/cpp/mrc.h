/// Stacks of float32 volumes in MRC files, as far as this example goes: mode 2, little-endian, axes x, y, z.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// (count, depth, height, width), x fastest.
struct Stack {
    std::int64_t count = 0, depth = 0, height = 0, width = 0;
    float voxel_angstrom = 0;
    std::vector<float> values;
};

/// A stack of volumes (ISPG 401), or one volume. Throws std::runtime_error that says what is wrong with the
/// file.
Stack read_mrc(const std::string& path);

/// One volume. Throws std::runtime_error.
void write_mrc(const std::string& path, const Stack& volume);
