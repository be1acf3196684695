// For the first board on a desk (docs/hardware.md): a square wave on ICE_27 with a 24,000th of the frequency of the clock that
// the board's RP2350 gives at pin 35, as circuits have it that were made for earlier firmware. 48 MHz: 2000 pulses a second.
`default_nettype none

module pin_35 (
    input wire ICE_35,
    output wire ICE_27
);
    reg [13:0] count = 0;
    reg level = 0;
    wire last = (count == 11999);

    always @(posedge ICE_35) begin
        count <= last ? 0 : count + 1;
        level <= level ^ last;
    end

    assign ICE_27 = level;
endmodule
