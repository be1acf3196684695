// Counts the rising edges of pin ICE_27 in one second of a circuit that `yosys write_cxxrtl` made of a bitstream.
//
// Prints one line: the number of rising edges, which is the frequency in Hz. The circuit's clock input stands for the
// 48 MHz oscillator (SB_HFOSC), which drives the global network of IO cell 19 31 0.

#include <cinttypes>
#include <cstdint>
#include <cstdio>

#include CIRCUIT

int main()
{
    const uint64_t cycles_per_second = 48000000;
    cxxrtl_design::p_circuit circuit;
    circuit.p_io__19__31__0.set<bool>(false);
    circuit.step();
    bool level = circuit.p_ICE__27.get<bool>();
    uint64_t rising = 0;
    for (uint64_t cycle = 0; cycle < cycles_per_second; cycle++) {
        circuit.p_io__19__31__0.set<bool>(true);
        circuit.step();
        circuit.p_io__19__31__0.set<bool>(false);
        circuit.step();
        const bool now = circuit.p_ICE__27.get<bool>();
        rising += now && !level;
        level = now;
    }
    std::printf("%" PRIu64 "\n", rising);
    return 0;
}
